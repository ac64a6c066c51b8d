//! Systems of linear equations.

/// The solution of a few equations by Gaussian elimination with row pivots; each row ends with its right-hand side.
#[must_use]
pub fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let count = rows.len();
    for column in 0..count {
        let pivot = (column..count).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()));
        rows.swap(column, pivot.unwrap_or(column));
        let (done, left) = rows.split_at_mut(column + 1);
        let above = &done[column];
        for row in left {
            let factor = row[column] / above[column];
            row.iter_mut().zip(above).skip(column).for_each(|(entry, entry_above)| *entry -= factor * entry_above);
        }
    }
    let mut solution = vec![0.0; count];
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|k| rows[row][k] * solution[k]).sum();
        solution[row] = (rows[row][count] - known) / rows[row][row];
    }
    solution
}
