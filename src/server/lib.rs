//! vatic-server: under construction.
