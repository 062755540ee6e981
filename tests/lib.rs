//! vatic-tests: looks at vatic from outside.
