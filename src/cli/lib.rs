//! vatic: under construction.
