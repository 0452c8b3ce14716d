//! Localhost in the shapes of platforms whose workers cannot be fed.

mod shaped;
