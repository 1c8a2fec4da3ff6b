"""Failed events of a group: when each is tried again, in which order, and when it is given up."""
