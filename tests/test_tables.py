"""Tables as text."""

from paddleseg_ext.tables import text_table


def test_names_are_to_the_left_and_numbers_to_the_right():
    lines = text_table(["class", "iou"], [["road", "0.98"], ["sidewalk", None]]).splitlines()
    assert [line.strip() for line in lines] == ["class      iou", "road      0.98", "sidewalk"]
    lines = text_table(["", "class"], [[10, "road"], [9, "sky"]], left="class").splitlines()
    assert [line.rstrip() for line in lines[1:]] == [" 10  road", "  9  sky"]


def test_markdown():
    header, rule, row = text_table(["way", "ms"], [["ours", "1.5"]], markdown=True).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["way", "ms"]
    assert set(rule) <= set("|:- ") and row.startswith("| ours | 1.5")
