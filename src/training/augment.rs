//! Augmentation: a training image is looked at a little differently each time.

use crate::domain::chance::Chance;
use crate::domain::definition::Augment;

/// The images that an augmentation works on: so many pixels high and wide, however many channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixels {
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Pixels {
    /// Of a sample's shape, `[height, width]` or `[channels, height, width]`; `None` if it is no image.
    pub(super) fn of(shape: &[usize]) -> Option<Self> {
        match *shape {
            [height, width] | [_, height, width] => Some(Self { height, width }),
            _ => None,
        }
    }
}

/// Changes `images` (a sample, and its mask where it has one) all in the same way, drawn for this row.
pub(super) fn augment(
    spec: Augment,
    pixels: Pixels,
    images: &mut [&mut [f32]],
    chance: &Chance<'_>,
    row: usize,
) {
    if spec.flip && chance.unit(&format!("{row} flip")) < 0.5 {
        for row in images.iter_mut().flat_map(|image| image.chunks_mut(pixels.width.max(1))) {
            row.reverse();
        }
    }
    if spec.shift > 0 {
        let (down, right) =
            (drawn(chance, row, "down", spec.shift), drawn(chance, row, "right", spec.shift));
        let channel = pixels.height.saturating_mul(pixels.width).max(1);
        for channel in images.iter_mut().flat_map(|image| image.chunks_mut(channel)) {
            let before = channel.to_vec();
            let rows = channel.chunks_mut(pixels.width.max(1)).enumerate();
            for (y, values) in rows {
                let from_y = moved(y, down, pixels.height);
                for (x, value) in values.iter_mut().enumerate() {
                    let from = from_y * pixels.width + moved(x, right, pixels.width);
                    *value = before.get(from).copied().unwrap_or(*value);
                }
            }
        }
    }
}

/// From which place the value at `place` comes, `by` places before it; past an edge, from the edge.
fn moved(place: usize, by: isize, size: usize) -> usize {
    place.saturating_add_signed(-by).min(size.saturating_sub(1))
}

/// A whole number from `-most` to `most`, all equally likely.
fn drawn(chance: &Chance<'_>, row: usize, way: &str, most: usize) -> isize {
    let most = isize::try_from(most.min(4096)).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small")]
    let drawn = (chance.unit(&format!("{row} {way}")) * (2 * most + 1) as f64) as isize;
    drawn - most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::CycleNumber;

    const PIXELS: Pixels = Pixels { height: 2, width: 3 };

    fn seen(spec: Augment, row: usize) -> Vec<f32> {
        let chance = Chance { seed: 1, cycle: CycleNumber(0), purpose: "test" };
        let mut image = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut mask = image.clone();
        augment(spec, PIXELS, &mut [&mut image, &mut mask], &chance, row);
        assert_eq!(image, mask, "a mask moves along");
        image
    }

    #[test]
    fn an_image_is_flipped_every_other_time_and_moved_with_its_edge_repeated() {
        let flip = Augment { flip: true, shift: 0 };
        let flipped = (0..1000).filter(|row| seen(flip, *row) == [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        assert!((400..600).contains(&flipped.count()));
        let shift = Augment { flip: false, shift: 1 };
        let all: Vec<Vec<f32>> = (0..200).map(|row| seen(shift, row)).collect();
        for expected in [
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], // not at all
            [1.0, 1.0, 2.0, 4.0, 4.0, 5.0], // right
            [4.0, 5.0, 6.0, 4.0, 5.0, 6.0], // up
            [1.0, 1.0, 2.0, 1.0, 1.0, 2.0], // down and right
        ] {
            assert!(all.iter().any(|seen| seen == &expected), "{expected:?}");
        }
        assert_eq!(seen(shift, 5), seen(shift, 5));
        assert_eq!(seen(Augment::default(), 5), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }
}
