//! From the bytes of a PNG or JPEG file to pixels of the size that is wanted.

use super::shown::{self, Shown};
use crate::domain::rows::RowsError;
use std::io::Cursor;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The longest side of an image: a small file may claim to be huge.
const SIDE_MAX: usize = 16_384;

/// The most pixels of an image.
const PIXELS_MAX: usize = 64 * 1024 * 1024;

/// Pixels, row by row, `channels` bytes each.
pub(super) struct Picture {
    height: usize,
    width: usize,
    channels: usize,
    bytes: Vec<u8>,
}

/// Decodes an image to 1 channel (brightness) or 3. Transparency is ignored; of 16-bit values the upper 8 bits count.
pub(super) fn decode(bytes: &[u8], channels: usize) -> Result<Picture, String> {
    let picture = match bytes {
        [0x89, b'P', b'N', b'G', ..] => png(bytes),
        [0xff, 0xd8, ..] => jpeg(bytes),
        [] => return Err("the file is empty".to_owned()),
        _ => return Err("neither a PNG nor a JPEG image".to_owned()),
    }?;
    if picture.bytes.len() != picture.height * picture.width * picture.channels {
        return Err("the image ends early".to_owned());
    }
    Ok(picture.with_channels(channels))
}

fn check(height: usize, width: usize) -> Result<(), String> {
    if height == 0 || width == 0 {
        return Err("the image has no pixels".to_owned());
    }
    if height.max(width) > SIDE_MAX || height.saturating_mul(width) > PIXELS_MAX {
        return Err(format!(
            "{width} x {height} pixels; at most {SIDE_MAX} a side and {PIXELS_MAX} in all are read"
        ));
    }
    Ok(())
}

fn png(bytes: &[u8]) -> Result<Picture, String> {
    let failed = |error: png::DecodingError| format!("a broken PNG image: {error}");
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let info = decoder.read_header_info().map_err(failed)?;
    check(info.height as usize, info.width as usize)?;
    let mut reader = decoder.read_info().map_err(failed)?;
    let size = reader.output_buffer_size().ok_or("more pixels than fit in memory")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(failed)?;
    pixels.truncate(frame.buffer_size());
    let channels = match frame.color_type {
        png::ColorType::Grayscale => 1,
        png::ColorType::GrayscaleAlpha => 2,
        png::ColorType::Rgb => 3,
        png::ColorType::Rgba => 4,
        png::ColorType::Indexed => return Err("a broken PNG image: no palette".to_owned()),
    };
    let (height, width) = (frame.height as usize, frame.width as usize);
    Ok(Picture { height, width, channels, bytes: pixels })
}

fn jpeg(bytes: &[u8]) -> Result<Picture, String> {
    let failed = |error: zune_jpeg::errors::DecodeErrors| format!("a broken JPEG image: {error}");
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_height(SIDE_MAX)
        .set_max_width(SIDE_MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(failed)?;
    let (width, height) = decoder.dimensions().ok_or("a broken JPEG image: no size")?;
    check(height, width)?;
    let pixels = decoder.decode().map_err(failed)?;
    Ok(Picture { height, width, channels: 3, bytes: pixels })
}

impl Picture {
    /// The same with 1 or 3 channels.
    fn with_channels(self, wanted: usize) -> Self {
        let colour = |pixel: &[u8]| match *pixel {
            [grey] | [grey, _] => [grey; 3],
            [red, green, blue, ..] => [red, green, blue],
            [] => [0; 3],
        };
        if self.channels == wanted {
            return self;
        }
        let pixels = self.bytes.chunks_exact(self.channels);
        let bytes = if wanted == 1 {
            pixels
                .map(|pixel| match *pixel {
                    [grey] | [grey, _] => grey,
                    _ => brightness(colour(pixel)),
                })
                .collect()
        } else {
            pixels.flat_map(colour).collect()
        };
        Self { channels: wanted, bytes, ..self }
    }

    /// The same in little, for people.
    pub(super) fn small(&self) -> Result<Shown, RowsError> {
        let (height, width) = shown::fitted(self.height, self.width);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "means of bytes are between 0 and 255"
        )]
        let byte = |value: f32| value.round() as u8;
        let bytes: Vec<u8> = self.resized(height, width).into_iter().map(byte).collect();
        Shown::picture(height, width, &bytes)
    }

    /// Every value from 0 to 255, `height` by `width`.
    ///
    /// Each new pixel is the mean of the old ones under it, weighted by a tent as wide as the step from one new pixel to the
    /// next (at least as from one old pixel to the next): bilinear where an image grows, and without aliasing where it
    /// shrinks. Rows first, then columns; plain sums in a fixed order, so the same on every machine.
    pub(super) fn resized(&self, height: usize, width: usize) -> Vec<f32> {
        let values: Vec<f32> = self.bytes.iter().map(|&byte| f32::from(byte)).collect();
        if (height, width) == (self.height, self.width) {
            return values;
        }
        let c = self.channels;
        let across = tents(self.width, width);
        let mut narrow = Vec::with_capacity(self.height * width * c);
        for row in values.chunks_exact((self.width * c).max(1)) {
            for (first, weights) in &across {
                for channel in 0..c {
                    let pixels = row.iter().skip(first * c + channel).step_by(c);
                    narrow.push(weights.iter().zip(pixels).map(|(w, p)| w * p).sum::<f32>());
                }
            }
        }
        let line = width * c;
        let mut small = Vec::with_capacity(height * line);
        for (first, weights) in tents(self.height, height) {
            for column in 0..line {
                let pixels = narrow.iter().skip(first * line + column).step_by(line.max(1));
                small.push(weights.iter().zip(pixels).map(|(w, p)| w * p).sum::<f32>());
            }
        }
        small
    }
}

/// ITU-R BT.601: how bright a colour is to the eye, in whole numbers.
fn brightness([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    u8::try_from((sum + 500) / 1000).unwrap_or(u8::MAX)
}

/// For each of `to` pixels: the first of the `from` old ones that it is made of, and the weight of each from there on.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sides have at most 16,384 pixels, and every bound is cut to the image"
)]
fn tents(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let step = from as f64 / to as f64;
    let reach = step.max(1.0);
    (0..to)
        .map(|place| {
            let centre = (place as f64 + 0.5) * step;
            let first = (centre - reach).floor().max(0.0) as usize;
            let end = ((centre + reach).ceil() as usize).min(from);
            let weight =
                |pixel: usize| (1.0 - ((pixel as f64 + 0.5 - centre) / reach).abs()).max(0.0);
            let sum: f64 = (first..end).map(weight).sum();
            (first, (first..end).map(|pixel| (weight(pixel) / sum) as f32).collect())
        })
        .collect()
}
