//! How a sample looks to people: a small picture, the beginning of its text, or its first numbers.

use super::PoolError;
use crate::domain::rows::RowsError;
use png::{BitDepth, ColorType, Encoder, EncodingError};

/// The longest side of a picture, in pixels; a larger one is made smaller.
pub(super) const SIDE_MAX: usize = 64;

/// A longer text is cut.
const LETTERS_MAX: usize = 280;

/// More numbers than this are counted.
const NUMBERS_MAX: usize = 6;

/// What a sample looks like, in little: at most about 12 KB.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// A PNG file.
    Picture {
        /// Its bytes.
        png: Vec<u8>,
        /// Its height in pixels.
        height: usize,
        /// Its width.
        width: usize,
    },
    /// The beginning of a text.
    Text(String),
    /// A row of numbers.
    Numbers {
        /// The first of them.
        first: Vec<f32>,
        /// How many there are.
        count: usize,
    },
}

impl Shown {
    pub(super) fn text(text: &str) -> Self {
        let letters = text.chars().nth(LETTERS_MAX).map(|_| LETTERS_MAX - 1);
        Self::Text(letters.map_or_else(
            || text.to_owned(),
            |letters| text.chars().take(letters).chain(['…']).collect(),
        ))
    }

    /// Of a picture with 1 or 3 bytes a pixel.
    pub(super) fn picture(height: usize, width: usize, bytes: &[u8]) -> Result<Self, RowsError> {
        let png = encoded(height, width, bytes).map_err(|error| RowsError {
            what: "a small picture".to_owned(),
            first: 0,
            end: 0,
            reason: error.to_string(),
        })?;
        Ok(Self::Picture { png, height, width })
    }

    /// Of a row of numbers: a picture where `shape` is that of one. A row without axes is taken for a square picture if its
    /// length is a square and no number is negative: embeddings have negative ones.
    pub(super) fn row(row: &[f32], shape: &[usize]) -> Result<Self, PoolError> {
        let plain = || Self::Numbers {
            first: row.iter().take(NUMBERS_MAX).copied().collect(),
            count: row.len(),
        };
        let Some(axes) = Axes::of(shape, row) else { return Ok(plain()) };
        let low = row.iter().copied().fold(f32::INFINITY, f32::min);
        let high = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Pixels of 0 to 1 keep their brightness; what is scaled otherwise is spread over all of it.
        let (low, high) = if low >= 0.0 && high <= 1.0 { (0.0, 1.0) } else { (low, high) };
        let shade = |value: f32| {
            let share = (value - low) / (high - low).max(f32::MIN_POSITIVE);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 255, for each finite value"
            )]
            let shade = (share * 255.0).round() as u8;
            shade
        };
        let (height, width) = fitted(axes.height, axes.width);
        let mut bytes = Vec::with_capacity(height * width * axes.channels);
        for y in 0..height {
            for x in 0..width {
                for channel in 0..axes.channels {
                    let (y, x) = (y * axes.height / height, x * axes.width / width);
                    let value = row.get(axes.place(y, x, channel)).copied().unwrap_or_default();
                    bytes.push(shade(value));
                }
            }
        }
        Ok(Self::picture(height, width, &bytes)?)
    }
}

/// How the pixels of a picture lie in a row.
struct Axes {
    height: usize,
    width: usize,
    channels: usize,
    /// Channel by channel, instead of pixel by pixel.
    in_planes: bool,
}

impl Axes {
    fn of(shape: &[usize], row: &[f32]) -> Option<Self> {
        let (height, width, channels, in_planes) = match *shape {
            [height, width] => (height, width, 1, true),
            [channels @ (1 | 3), height, width] => (height, width, channels, true),
            [height, width, channels @ (1 | 3)] => (height, width, channels, false),
            [length] if length >= 64 && row.iter().all(|value| *value >= 0.0) => {
                let side = length.isqrt();
                (side * side == length).then_some((side, side, 1, true))?
            }
            _ => return None,
        };
        let is_picture = height > 1 && width > 1 && height * width * channels == row.len();
        is_picture.then_some(Self { height, width, channels, in_planes })
    }

    const fn place(&self, y: usize, x: usize, channel: usize) -> usize {
        if self.in_planes {
            (channel * self.height + y) * self.width + x
        } else {
            (y * self.width + x) * self.channels + channel
        }
    }
}

/// The size of a picture that is made to fit.
pub(super) fn fitted(height: usize, width: usize) -> (usize, usize) {
    let longest = height.max(width);
    if longest <= SIDE_MAX {
        return (height, width);
    }
    let side = |side: usize| (side * SIDE_MAX / longest).max(1);
    (side(height), side(width))
}

fn encoded(height: usize, width: usize, bytes: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let mut png = Vec::new();
    let mut encoder = Encoder::new(&mut png, side(width), side(height));
    let is_grey = bytes.len() == height * width;
    encoder.set_color(if is_grey { ColorType::Grayscale } else { ColorType::Rgb });
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(bytes)?;
    writer.finish()?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(shown: &Shown) -> (u32, u32, Vec<u8>) {
        let Shown::Picture { png, .. } = shown else { panic!("no picture: {shown:?}") };
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut bytes).unwrap();
        (frame.width, frame.height, bytes)
    }

    #[test]
    fn a_row_with_the_shape_of_a_picture_is_one_however_its_channels_lie() {
        let planes = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        let pixel = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0];
        let seen = pixels(&Shown::row(&planes, &[3, 2, 2]).unwrap());
        assert_eq!(seen, (2, 2, pixel.map(|value| if value > 0.5 { 255 } else { 0 }).to_vec()));
        assert_eq!(pixels(&Shown::row(&pixel, &[2, 2, 3]).unwrap()), seen);
    }

    #[test]
    fn a_square_number_of_brightnesses_is_a_picture_and_an_embedding_is_not() {
        let digit: Vec<f32> = (0..64_u8).map(f32::from).collect();
        let (width, height, bytes) = pixels(&Shown::row(&digit, &[64]).unwrap());
        assert_eq!((width, height, bytes[0], bytes[63]), (8, 8, 0, 255));
        let embedding: Vec<f32> = digit.iter().map(|value| value - 20.0).collect();
        let first = vec![-20.0, -19.0, -18.0, -17.0, -16.0, -15.0];
        assert_eq!(Shown::row(&embedding, &[64]).unwrap(), Shown::Numbers { first, count: 64 });
        let flat = vec![7.0; 64]; // one brightness all over
        assert_eq!(pixels(&Shown::row(&flat, &[64]).unwrap()).2, [0; 64]);
    }

    #[test]
    fn what_is_large_is_made_small() {
        let wide = vec![0.5; 300 * 100];
        let (width, height, _) = pixels(&Shown::row(&wide, &[100, 300]).unwrap());
        assert_eq!((width, height), (64, 21));
        let Shown::Text(text) = Shown::text(&"ä".repeat(300)) else { panic!() };
        assert!(text.chars().count() == 280 && text.ends_with('…'));
        assert_eq!(Shown::text("short"), Shown::Text("short".to_owned()));
    }
}
