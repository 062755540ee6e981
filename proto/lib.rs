//! vatic-proto: under construction.
