"""What the system knows of itself: pods report how they are, and are told what to do."""
