"""What a training leaves behind: curves and images in VisualDL, and a folder that tells what was run."""
