//! vatic-log: under construction.
