"""What a training leaves behind: curves and pictures in VisualDL, and a folder that tells what was run."""
