//! How close samples are to data.
