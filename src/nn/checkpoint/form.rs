//! How a parameter lies in a file: as it is, as a part of a common tensor, turned, or as a table of classes.

use super::names::Names;

/// How a parameter lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is; a product at every pixel may be written as a convolution with a kernel of size 1.
    Whole,
    /// As some rows of a matrix that queries, keys and values have in common: of every `heads` pieces three.
    Part {
        /// 0 for queries, 1 for keys, 2 for values.
        which: usize,
        /// Pieces of each.
        pieces: usize,
    },
    /// A matrix with inputs before outputs.
    Turned,
    /// Kernels with height and width before inputs, and those before outputs.
    ChannelsLast,
    /// A table of classes, as a matrix for what has the root of the number of classes in the class's place.
    Labels,
}

impl Form {
    /// The form of diffusers' parameter `name` of this shape in a network with so many heads.
    pub fn of(names: Names, name: &str, shape: &[usize], heads: usize) -> Self {
        let rows = shape.first().copied().unwrap_or(0);
        let which = [".to_q.", ".to_k.", ".to_v."].iter().position(|matrix| name.contains(matrix));
        match (names, which) {
            (Names::Jax, _) if shape.len() == 2 => Self::Turned,
            (Names::Jax, _) if shape.len() == 4 => Self::ChannelsLast,
            // For each head its queries, keys and values follow each other.
            (Names::Improved, Some(which)) => Self::Part { which, pieces: heads.max(1) },
            // For each channel.
            (Names::Edm { .. }, Some(which)) => Self::Part { which, pieces: rows.max(1) },
            (Names::Edm { .. }, None) if name == "class_embedding.weight" => Self::Labels,
            (Names::ScoreSde, _) if name.contains(".attentions.") && name.ends_with(".weight") => {
                if name.contains(".group_norm.") { Self::Whole } else { Self::Turned }
            }
            _ => Self::Whole,
        }
    }

    /// The shape of the tensor in the file, from that of the parameter.
    pub fn stored(self, shape: &[usize]) -> Vec<usize> {
        let mut stored = shape.to_vec();
        match self {
            Self::Whole => {}
            Self::Part { .. } => {
                if let Some(rows) = stored.first_mut() {
                    *rows = rows.saturating_mul(3);
                }
            }
            Self::Turned | Self::Labels => stored.reverse(),
            Self::ChannelsLast => {
                stored.reverse();
                // Height and width stay in order.
                if let [height, width, ..] = &mut stored[..] {
                    std::mem::swap(height, width);
                }
            }
        }
        stored
    }

    /// The numbers of the parameter of this shape, out of those of the tensor; `bias` is that of a matrix of labels.
    pub fn read(self, stored: Vec<f32>, shape: &[usize], bias: &[f32]) -> Vec<f32> {
        match self {
            Self::Whole => stored,
            Self::Part { which, pieces } => {
                let piece = (stored.len() / (3 * pieces)).max(1);
                stored.chunks_exact(piece).skip(which).step_by(3).flatten().copied().collect()
            }
            Self::Turned => turned(&stored, shape),
            Self::ChannelsLast => channels_first(&stored, shape),
            Self::Labels => {
                let mut rows = turned(&stored, shape);
                let root = (shape.first().copied().unwrap_or(1) as f32).sqrt();
                for row in rows.chunks_exact_mut(bias.len().max(1)) {
                    row.iter_mut().zip(bias).for_each(|(number, bias)| *number = root * *number + bias);
                }
                rows
            }
        }
    }
}

/// A matrix of this shape, from its transpose.
fn turned(stored: &[f32], shape: &[usize]) -> Vec<f32> {
    let [rows, columns] = shape else { return stored.to_vec() };
    (0..rows * columns).map(|i| stored[i % columns * rows + i / columns]).collect()
}

/// Kernels of this shape, from those with channels last.
fn channels_first(stored: &[f32], shape: &[usize]) -> Vec<f32> {
    let &[outputs, inputs, height, width] = shape else { return stored.to_vec() };
    let pixels = height * width;
    let mut found = Vec::with_capacity(stored.len());
    for output in 0..outputs {
        for input in 0..inputs {
            found.extend((0..pixels).map(|pixel| stored[(pixel * inputs + input) * outputs + output]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_every_head_and_turned_matrices_are_transposes() {
        let whole: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let part = |which, pieces| Form::Part { which, pieces }.read(whole.clone(), &[4], &[]);
        assert_eq!(part(1, 1), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(part(1, 2), [2.0, 3.0, 8.0, 9.0]);
        assert_eq!(part(2, 4), [2.0, 5.0, 8.0, 11.0]);
        assert_eq!(Form::Turned.read((0..6).map(|i| i as f32).collect(), &[2, 3], &[]), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        let table = Form::Labels.read(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[4, 2], &[0.5, -0.5]);
        assert_eq!(table, [2.5, 9.5, 4.5, 11.5, 6.5, 13.5, 8.5, 15.5]);
        assert_eq!(Form::ChannelsLast.stored(&[5, 4, 3, 2]), [3, 2, 4, 5]);
        // One row of two pixels, two inputs, three outputs: the numbers are their places in the file.
        let stored = (0..12).map(|i| i as f32).collect();
        let found = Form::ChannelsLast.read(stored, &[3, 2, 1, 2], &[]);
        assert_eq!(found, [0.0, 6.0, 3.0, 9.0, 1.0, 7.0, 4.0, 10.0, 2.0, 8.0, 5.0, 11.0]);
        assert_eq!(Form::Labels.stored(&[4, 2]), [2, 4]);
        assert_eq!(Form::Part { which: 0, pieces: 1 }.stored(&[4, 2]), [12, 2]);
    }
}
