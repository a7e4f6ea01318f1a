"""What one hour on a GPU should tell: exactness, scoring speed and training MFU, part by part, in nine minutes."""
