//! The header of NumPy's `.npy` files (format 1.0 and 2.0; numpy.lib.format in NumPy's manual): what lies in the rest of a
//! file, and where it begins. Bytes only; whoever reads or writes files does it elsewhere.

use std::fmt::Write as _;

/// The longest header that is read. NumPy itself refuses more than 10,000 bytes unless told otherwise.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// What an array holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The element type as NumPy writes it, for example `<f4`.
    pub descr: String,
    /// Whether the first axis runs fastest.
    pub fortran_order: bool,
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// Where the values begin, in bytes.
    pub offset: usize,
}

impl Header {
    /// How many values there are; `None` where that is more than a machine can count.
    #[must_use]
    pub fn len(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side))
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }
}

/// The bytes before the values of an array in C order, format 1.0: a multiple of 64 long.
#[must_use]
pub fn encode(descr: &str, shape: &[usize]) -> Vec<u8> {
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (");
    for side in shape {
        let _ = write!(text, "{side}, "); // a String takes everything
    }
    text.push_str("), }");
    // Eight numbers of 20 digits stay far below what the 16-bit length can say.
    let padding = (64 - (10 + text.len() + 1) % 64) % 64;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(text.bytes());
    bytes
}

/// Reads the header at the beginning of `bytes`; more than [`HEADER_BYTES_MAX`] are never needed.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse(bytes: &[u8]) -> Result<Header, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("it does not begin like a .npy file")?;
    let (length, offset) = match rest {
        [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10),
        [2 | 3, _, a, b, c, d, ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]);
            (usize::try_from(length).unwrap_or(usize::MAX), 12)
        }
        [version, ..] => return Err(format!("format {version} is not known")),
        [] => return Err("it ends within its header".to_owned()),
    };
    if length > HEADER_BYTES_MAX - 12 {
        return Err(format!("its header has {length} bytes, which is no array of numbers"));
    }
    let text = bytes.get(offset..offset + length).ok_or("it ends within its header")?;
    let text = std::str::from_utf8(text).map_err(|_| "its header is no text")?;
    let mut header = dictionary(text)?;
    header.offset = offset + length;
    Ok(header)
}

/// A Python dictionary of the three keys, in any order.
fn dictionary(text: &str) -> Result<Header, String> {
    let value = |key: &str| {
        let quoted = [format!("'{key}'"), format!("\"{key}\"")];
        let after = quoted.iter().find_map(|key| text.split_once(key.as_str()));
        let after = after.ok_or_else(|| format!("its header has no {key:?}"))?.1;
        Ok::<_, String>(after.trim_start().strip_prefix(':').unwrap_or(after).trim_start())
    };
    let descr = value("descr")?;
    let quote = descr.chars().next().filter(|c| *c == '\'' || *c == '"');
    let descr = quote
        .and_then(|quote| descr.get(1..)?.split(quote).next())
        .ok_or("its element type is a structure, and a plain number is expected")?;
    let order = value("fortran_order")?;
    let fortran_order = match (order.starts_with("True"), order.starts_with("False")) {
        (true, _) => true,
        (_, true) => false,
        _ => return Err("its header does not say in which order values lie".to_owned()),
    };
    let shape = value("shape")?;
    let shape = shape.strip_prefix('(').and_then(|shape| Some(shape.split_once(')')?.0));
    let shape = shape.ok_or("its header has no shape")?;
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape = sides
        .map(|side| side.parse().map_err(|_| format!("{side:?} is no length of an axis")))
        .collect::<Result<_, _>>()?;
    Ok(Header { descr: descr.to_owned(), fortran_order, shape, offset: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    /// What NumPy 2 writes for `np.zeros((3, 4), np.float32)` and `np.zeros(5, np.int64)`.
    #[test]
    fn what_numpy_writes_is_read() {
        let mut file =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"
                .to_vec();
        file.resize(127, b' ');
        file.push(b'\n');
        let header = parse(&file).unwrap();
        assert_eq!((header.descr.as_str(), header.fortran_order), ("<f4", false));
        assert_eq!(
            (header.shape.as_slice(), header.offset, header.len()),
            (&[3, 4][..], 128, Some(12))
        );
        let one =
            file.iter().map(|&b| b as char).collect::<String>().replace("(3, 4), }", "(5,), }  ");
        let one: Vec<u8> = one.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(parse(&one).unwrap().shape, [5]);
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused_in_words() {
        for (bytes, what) in [
            (&b"PK\x03\x04"[..], "does not begin like"),
            (b"\x93NUMPY", "ends within"),
            (b"\x93NUMPY\x01\x00\xff\x00{", "ends within"),
            (b"\x93NUMPY\x09\x00\x00\x00", "format 9"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "4294967295 bytes"),
            (b"\x93NUMPY\x01\x00\x02\x00{}", "no \"descr\""),
            (
                b"\x93NUMPY\x01\x00\x34\x00{'descr': [('a', '<f4')], 'fortran_order': False, 's'",
                "structure",
            ),
        ] {
            let error = parse(bytes).unwrap_err();
            assert!(error.contains(what), "{error} has no {what}");
        }
    }

    quickcheck! {
        fn a_header_reads_as_it_was_written(shape: Vec<u32>) -> bool {
            let shape: Vec<usize> = shape.iter().take(8).map(|&side| side as usize).collect();
            let bytes = encode("<f4", &shape);
            let found = parse(&bytes).unwrap();
            bytes.len().is_multiple_of(64)
                && found == Header { descr: "<f4".to_owned(), fortran_order: false, shape, offset: bytes.len() }
        }

        fn any_bytes_are_a_header_or_an_error(bytes: Vec<u8>) -> bool {
            let mut file = b"\x93NUMPY\x01\x00\x20\x00".to_vec();
            file.extend(&bytes);
            parse(&bytes).is_err() && parse(&file).map_or_else(|e| !e.is_empty(), |h| h.offset == 42)
        }
    }
}
