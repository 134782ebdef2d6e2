//! Masks as one COCO document.
//!
//! An image for each labelled sample, in the order of ids, numbered from 1: `file_name` is the sample's id, `height` and
//! `width` are those of its mask, which are the pool's and not those of a picture that was made smaller. A category for each
//! class of the run, numbered from 1 because 0 is no category for many tools. For each class that occurs in a mask an
//! annotation: its pixels run by run (uncompressed, down each column as pycocotools counts them), their number as `area`,
//! and their box. `iscrowd` is 0, so that no tool leaves them out.
//!
//! COCO describes regions. Labels of whole samples and numbers have no form in it, so these are refused.

use super::ExportError;
use super::labels::LabelSet;
use crate::artifacts::ArtifactError;
use crate::domain::digest::Digest;
use crate::domain::ids::SampleId;
use crate::domain::label::Label;
use crate::pool::Listing;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The pixels of a mask that are of one class.
#[derive(Debug, Default, PartialEq, Eq)]
struct Region {
    /// Down the columns, one after the other: so many pixels of other classes, so many of this one, and so on.
    counts: Vec<usize>,
    /// How many pixels these are.
    counted: usize,
    area: usize,
    /// The first and the last column and row that have one.
    columns: Option<(usize, usize)>,
    rows: Option<(usize, usize)>,
}

impl Region {
    /// Takes in pixels of this class: those from `start` on, down the columns of a mask of this height.
    fn add(&mut self, start: usize, length: usize, height: usize) {
        self.counts.extend([start - self.counted, length]);
        self.counted = start + length;
        self.area += length;
        let last = start + length - 1;
        let (left, right) = (start / height, last / height);
        let (top, bottom) =
            if left == right { (start % height, last % height) } else { (0, height - 1) };
        let wider = |old: Option<(usize, usize)>, low: usize, high: usize| {
            Some(old.map_or((low, high), |(a, b)| (a.min(low), b.max(high))))
        };
        self.columns = wider(self.columns, left, right);
        self.rows = wider(self.rows, top, bottom);
    }

    /// Left, top, width, height.
    fn bounds(&self) -> [usize; 4] {
        let ((left, right), (top, bottom)) =
            (self.columns.unwrap_or_default(), self.rows.unwrap_or_default());
        [left, top, right - left + 1, bottom - top + 1]
    }
}

/// The regions of a mask, row by row in its bytes, by class.
fn regions(mask: &[u8], height: usize, width: usize) -> BTreeMap<u8, Region> {
    let mut regions: BTreeMap<u8, Region> = BTreeMap::new();
    let column = |x: usize| mask.iter().skip(x).step_by(width.max(1));
    let mut run: Option<(u8, usize)> = None;
    for (place, &class) in (0..width).flat_map(column).enumerate() {
        match run {
            Some((before, _)) if before == class => {}
            Some((before, start)) => {
                regions.entry(before).or_default().add(start, place - start, height);
                run = Some((class, place));
            }
            None => run = Some((class, place)),
        }
    }
    if let Some((class, start)) = run {
        regions.entry(class).or_default().add(start, mask.len() - start, height);
    }
    for region in regions.values_mut().filter(|region| region.counted < mask.len()) {
        region.counts.push(mask.len() - region.counted);
    }
    regions
}

/// Writes a run's masks; `artifact` gives the bytes of a mask and of the pool's manifest. One mask is held at a time.
///
/// # Errors
/// [`ExportError::NoCoco`] for labels that are no masks, the others of [`ExportError`] for masks that cannot be read or do not
/// fit, and for bytes that cannot be written.
pub fn write_coco(
    set: &LabelSet,
    artifact: impl Fn(&Digest) -> Result<Vec<u8>, ArtifactError>,
    mut out: impl Write,
) -> Result<(), ExportError> {
    let mut masks: Vec<(&SampleId, Digest)> = Vec::new();
    for (sample, known) in &set.run().labels {
        let Label::Mask(mask) = known.label else {
            return Err(ExportError::NoCoco { task: known.label.task() });
        };
        masks.push((sample, mask));
    }
    let (height, width) = if masks.is_empty() { (0, 0) } else { sides(set, &artifact)? };
    let at = set.snapshot();
    let info = json!({
        "description": format!("labels of gleaner run {}", at.run),
        "version": at.labelled_set,
    });
    write!(out, "{{\"info\":{info},\"licenses\":[],\"categories\":")?;
    let categories = (1_u32..).zip(set.classes());
    array(&mut out, categories.map(|(id, name)| Ok(json!({ "id": id, "name": name }))))?;
    out.write_all(b",\"images\":")?;
    let images = (1_u64..).zip(&masks).map(|(id, (sample, _))| {
        Ok(json!({ "id": id, "file_name": sample, "height": height, "width": width }))
    });
    array(&mut out, images)?;
    out.write_all(b",\"annotations\":")?;
    let mut id = 0_u64;
    let annotations = (1_u64..).zip(&masks).flat_map(|(image, (sample, digest))| {
        let found =
            artifact(digest).map_err(|source| unread(format!("a mask of {sample}"), source));
        let found = found.and_then(|mask| {
            let pixels = mask.len();
            let fits = height.checked_mul(width) == Some(pixels);
            let sample = (*sample).clone();
            let wrong = ExportError::MaskSize { sample, pixels, height, width };
            if fits { Ok(regions(&mask, height, width)) } else { Err(wrong) }
        });
        match found {
            Err(error) => vec![Err(error)],
            Ok(regions) => {
                let annotation = |(class, region): (u8, Region)| {
                    id += 1;
                    Ok(json!({
                        "id": id,
                        "image_id": image,
                        "category_id": u32::from(class) + 1,
                        "segmentation": { "size": [height, width], "counts": region.counts },
                        "area": region.area,
                        "bbox": region.bounds(),
                        "iscrowd": 0,
                    }))
                };
                regions.into_iter().map(annotation).collect()
            }
        }
    });
    array(&mut out, annotations)?;
    out.write_all(b"}\n")?;
    Ok(())
}

/// Height and width of the pool's samples, as its manifest tells.
fn sides(
    set: &LabelSet,
    artifact: impl Fn(&Digest) -> Result<Vec<u8>, ArtifactError>,
) -> Result<(usize, usize), ExportError> {
    let pool = set.run().pool.ok_or(ExportError::NoSides)?;
    let manifest =
        artifact(&pool).map_err(|source| unread("the pool's manifest".into(), source))?;
    let listing = Listing::read(&manifest).ok_or(ExportError::NoSides)?;
    match listing.shape() {
        [.., height, width] if *height > 0 && *width > 0 => Ok((*height, *width)),
        _ => Err(ExportError::NoSides),
    }
}

const fn unread(what: String, source: ArtifactError) -> ExportError {
    ExportError::Artifact { what, source }
}

/// Writes values as a JSON array, one after the other.
fn array(
    out: &mut impl Write,
    values: impl Iterator<Item = Result<impl Serialize, ExportError>>,
) -> Result<(), ExportError> {
    let mut before = "[";
    for value in values {
        out.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut *out, &value?).map_err(io::Error::from)?;
        before = ",";
    }
    out.write_all(if before == "[" { b"[]" } else { b"]" })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::test_support::labelled;
    use super::*;
    use serde_json::Value;

    /// Counts, bounds and area of a region.
    type Told = (Vec<usize>, [usize; 4], usize);

    fn region(counts: &[usize], bounds: [usize; 4], area: usize) -> Told {
        (counts.to_vec(), bounds, area)
    }

    #[track_caller]
    fn check(mask: &[u8], height: usize, width: usize, expected: &[(u8, Told)]) {
        let found: Vec<_> = regions(mask, height, width)
            .into_iter()
            .map(|(class, of)| {
                let bounds = of.bounds();
                (class, (of.counts, bounds, of.area))
            })
            .collect();
        assert_eq!(found, expected);
        for (_, (counts, _, area)) in &found {
            assert_eq!(counts.iter().sum::<usize>(), height * width, "every pixel is counted");
            assert_eq!(counts.iter().skip(1).step_by(2).sum::<usize>(), *area);
        }
    }

    #[test]
    fn runs_go_down_the_columns_and_begin_with_what_is_not_of_the_class() {
        // 0 1 1
        // 0 1 0
        let mask = [0, 1, 1, 0, 1, 0];
        let zero = region(&[0, 2, 3, 1], [0, 0, 3, 2], 3);
        let one = region(&[2, 3, 1], [1, 0, 2, 2], 3);
        check(&mask, 2, 3, &[(0, zero), (1, one)]);
        check(&[5], 1, 1, &[(5, region(&[0, 1], [0, 0, 1, 1], 1))]);
        // One pixel in the middle of 3 x 3.
        let mut mask = [0; 9];
        mask[4] = 255;
        let ground = region(&[0, 4, 1, 4], [0, 0, 3, 3], 8);
        check(&mask, 3, 3, &[(0, ground), (255, region(&[4, 1, 4], [1, 1, 1, 1], 1))]);
        // A row and a column.
        check(
            &[1, 0, 0],
            1,
            3,
            &[(0, region(&[1, 2], [1, 0, 2, 1], 2)), (1, region(&[0, 1, 2], [0, 0, 1, 1], 1))],
        );
        check(
            &[0, 0, 1],
            3,
            1,
            &[(0, region(&[0, 2, 1], [0, 0, 1, 2], 2)), (1, region(&[2, 1], [0, 2, 1, 1], 1))],
        );
    }

    /// The manifest of a pool whose samples have this shape, without a sample in it.
    fn manifest(shape: &[u64]) -> Vec<u8> {
        let mut bytes = b"gleaner pool 1".to_vec();
        let numbers =
            std::iter::once(shape.len() as u64).chain(shape.iter().copied()).chain([0, 0]);
        numbers.for_each(|number| bytes.extend_from_slice(&number.to_be_bytes()));
        bytes
    }

    fn written(set: &LabelSet, mask: &[u8], shape: &[u64]) -> Result<Value, ExportError> {
        let mut bytes = Vec::new();
        let artifact = |digest: &Digest| {
            Ok(if *digest == Digest::of(mask) { mask.to_vec() } else { manifest(shape) })
        };
        write_coco(set, artifact, &mut bytes)?;
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn masks_are_images_and_their_classes_categories() {
        let mask = [0, 1, 1, 0, 1, 0];
        let label = Label::Mask(Digest::of(&mask));
        let set = labelled(&["ground", "bóx"], &[("\"a\".png", label), ("b.png", label)]);
        let document = written(&set, &mask, &[1, 2, 3]).unwrap();
        assert_eq!(
            document["categories"],
            json!([{ "id": 1, "name": "ground" }, { "id": 2, "name": "bóx" }])
        );
        assert_eq!(
            document["images"],
            json!([
                { "id": 1, "file_name": "\"a\".png", "height": 2, "width": 3 },
                { "id": 2, "file_name": "b.png", "height": 2, "width": 3 }
            ])
        );
        assert_eq!(document["annotations"].as_array().unwrap().len(), 4);
        assert_eq!(
            document["annotations"][3],
            json!({
                "id": 4, "image_id": 2, "category_id": 2, "area": 3, "bbox": [1, 0, 2, 2], "iscrowd": 0,
                "segmentation": { "size": [2, 3], "counts": [2, 3, 1] }
            })
        );
        let none = written(&labelled_by_nobody(), &[], &[]).unwrap();
        assert_eq!((&none["images"], &none["annotations"]), (&json!([]), &json!([])));
    }

    fn labelled_by_nobody() -> LabelSet {
        LabelSet::new(super::super::test_support::RUN)
    }

    #[test]
    fn what_is_no_mask_or_does_not_fit_is_told() {
        let told = |label: Label, mask: &[u8], shape: &[u64]| {
            let set = labelled(&["a", "b"], &[("s1", label)]);
            written(&set, mask, shape).unwrap_err().to_string()
        };
        let whole = told(Label::Class(1), &[], &[2, 3]);
        assert_eq!(
            whole,
            "COCO has no form for labels of classification, only for masks: choose csv or jsonl"
        );
        let mask = [0; 6];
        let label = Label::Mask(Digest::of(&mask));
        assert!(
            told(label, &mask, &[2, 2])
                .contains("s1 has 6 pixels, but the pool's samples are 2 high and 2 wide")
        );
        assert!(told(label, &mask, &[6]).contains("no height and width"));
        assert!(told(label, &mask, &[0, 6]).contains("no height and width"));
    }
}
