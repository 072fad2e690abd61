//! Rules from the outside.
