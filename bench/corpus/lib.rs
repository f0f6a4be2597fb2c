//! Nothing: this package only names others, whose documentation is read.
