//! Images to tensors.
