"""What the page says of each kind of stage."""
