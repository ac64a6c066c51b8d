//! `say!`, by which every command prints its result.

/// Prints a line of the result; fails where the output cannot take it.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::cli::files::print(format_args!($($words)*))
    };
}
