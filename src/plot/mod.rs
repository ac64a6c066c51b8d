//! Plots as geometry: scales, ticks, bins, colours. The page only draws what this computes.
