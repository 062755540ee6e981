//! vatic-tests: under construction.
