"""What the project withstands: kills, bad input, hostile files, flipped bits, full disks."""
