//! vatic-core: under construction.
