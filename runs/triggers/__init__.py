"""What starts runs by itself: who defines it, when it goes off, and how its run is started."""
