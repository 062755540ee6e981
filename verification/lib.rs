//! vatic-verification: under construction.
