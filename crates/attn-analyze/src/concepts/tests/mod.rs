//! Against brute force, an implementation on the matrix of distances, and figures worked out by hand.

mod clustering;
mod density;
mod honesty;
mod numbers;
mod scoring;
mod spaces;
mod text;
