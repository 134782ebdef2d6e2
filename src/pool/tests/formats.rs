//! Stories about each format beside CSV, and about what every format can do.

use super::*;
use crate::domain::definition::{Broken, ImageChannels, ImageLayout};
use crate::domain::table::Column;
use quickcheck::quickcheck;
use tempfile::TempDir;

/// A folder with files of these names.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
        std::fs::write(path, bytes).expect("a writable folder");
    }
    folder
}

/// The error without the temporary folder's name.
fn told(spec: &PoolSpec, folder: &TempDir) -> String {
    let message = Pool::load(spec, folder.path()).expect_err("bad data").to_string();
    message.replace(&format!("{}/", folder.path().display()), "")
}

fn header(descr: &str, shape: &str) -> Vec<u8> {
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (text.len() + 11) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(text.len()).expect("a short header").to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// A matrix as NumPy saves it.
fn npy(rows: &[&[f32]]) -> Vec<u8> {
    let mut bytes = header("<f4", &format!("({}, {})", rows.len(), rows[0].len()));
    bytes.extend(rows.concat().iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn npy_spec() -> PoolSpec {
    PoolSpec {
        source: PoolSource::Npy,
        path: "p.npy".to_owned(),
        classes: ["a", "b"].map(str::to_owned).to_vec(),
        ..PoolSpec::default()
    }
}

fn values(pool: &Pool) -> Vec<f32> {
    pool.features().read(0..pool.len()).expect("features").into_owned()
}

#[test]
fn an_npy_matrix_is_a_pool_whose_ids_are_row_numbers() {
    let labels = b"b\n\na\n";
    let folder =
        folder(&[("p.npy", &npy(&[&[1.0, 2.0], &[3.0, 4.0], &[5.0, 6.0]])), ("l.txt", labels)]);
    let spec = PoolSpec { labels: Some("l.txt".to_owned()), ..npy_spec() };
    let pool = Pool::load(&spec, folder.path()).expect("a matrix");
    assert_eq!((pool.len(), pool.shape(), &*pool.id(2)), (3, &[2][..], "p-0002"));
    assert_eq!(pool.index_of(&"p-0001".into()), Some(1));
    for nobody in ["p-1", "p-00001", "p-+001", "p-0003", "q-0001", "p0001", "p-"] {
        assert_eq!(pool.index_of(&nobody.into()), None, "{nobody}");
    }
    assert_eq!([0, 1, 2].map(|row| pool.label(row)), [Some(1), None, Some(0)]);
    assert_eq!(pool.gather(&[2, 0]).expect("rows").data(), [5.0, 6.0, 1.0, 2.0]);
    assert!(pool.gather(&[3]).expect_err("past the end").to_string().contains("it has 3 rows"));
}

#[test]
fn every_type_of_number_that_numpy_saves_is_read() {
    let three = |descr: &str, bytes: &[u8]| {
        let mut file = header(descr, "(3,)");
        file.extend(bytes);
        let folder = folder(&[("p.npy", &file)]);
        values(&Pool::load(&npy_spec(), folder.path()).expect("numbers"))
    };
    assert_eq!(three("<f2", &[0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00]), [1.0, -2.0, 2.0_f32.powi(-24)]);
    assert_eq!(three(">f4", &[0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0]), [1.0, -2.0, 0.0]);
    let doubles: Vec<u8> = [0.5_f64, -1.5, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(three("<f8", &doubles), [0.5, -1.5, 3.0]);
    assert_eq!(three("|u1", &[0, 128, 255]), [0.0, 128.0, 255.0]);
    assert_eq!(three("|i1", &[0, 128, 255]), [0.0, -128.0, -1.0]);
    assert_eq!(three("|b1", &[0, 1, 1]), [0.0, 1.0, 1.0]);
    assert_eq!(three(">i2", &[0xff, 0xfe, 0, 1, 1, 0]), [-2.0, 1.0, 256.0]);
    let longs: Vec<u8> = [-3_i64, 0, 7].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(three("<i8", &longs), [-3.0, 0.0, 7.0]);
}

#[test]
fn labels_may_be_an_npy_of_whole_numbers() {
    let labels = [header("<i4", "(2,)"), [10_i32, -1].map(i32::to_le_bytes).concat()].concat();
    let folder = folder(&[("p.npy", &npy(&[&[1.0], &[2.0]])), ("l.npy", &labels)]);
    let spec = PoolSpec { labels: Some("l.npy".to_owned()), classes: vec![], ..npy_spec() };
    let pool = Pool::load(&spec, folder.path()).expect("a matrix with labels");
    assert_eq!(pool.classes(), ["-1", "10"]);
    assert_eq!([pool.label(0), pool.label(1)], [Some(1), Some(0)]);
}

#[test]
fn a_bad_npy_file_is_told_what_is_wrong_and_how_to_save_it() {
    let spec = npy_spec();
    let with = |bytes: &[u8]| told(&spec, &folder(&[("p.npy", bytes)]));
    assert_eq!(with(b"PK\x03\x04"), "p.npy: not an .npy file; save it with `numpy.save`");
    assert_eq!(
        with(&header("<c8", "(1,)")),
        "p.npy: its numbers are of type '<c8', which is not read; save it with `.astype(\"float32\")`"
    );
    let by_columns = String::from_utf8_lossy(&header("<f4", "(1,)")[8..]).replace("False", "True ");
    assert_eq!(
        with(&[b"\x93NUMPY\x01\x00", by_columns.as_bytes()].concat()),
        "p.npy: its numbers lie column by column; save it with `numpy.ascontiguousarray`"
    );
    let mut cut = npy(&[&[1.0, 2.0], &[3.0, 4.0]]);
    cut.pop();
    assert_eq!(
        with(&cut),
        format!(
            "p.npy: {} bytes, but a matrix of [2, 2] takes {}; was it copied whole?",
            cut.len(),
            cut.len() + 1
        )
    );
    assert_eq!(
        with(&npy(&[&[1.0, 2.0], &[3.0, f32::NAN]])),
        "p.npy: row 1, counted from 0: number 1 of the row is not finite, or does not fit 32 bits (after `pool.scale`); correct it, or leave the row out"
    );
    assert_eq!(
        with(&header("<f4", "(0, 3)")),
        "p.npy: no numbers in it; at least one sample is expected"
    );
    let spec = PoolSpec { labels: Some("l.txt".to_owned()), ..npy_spec() };
    let files = folder(&[("p.npy", &npy(&[&[1.0], &[2.0]])), ("l.txt", b"a\n")]);
    assert_eq!(
        told(&spec, &files),
        "l.txt: 1 labels for 2 samples; `pool.labels` needs one for each"
    );
    let files = folder(&[("p.npy", &npy(&[&[1.0], &[2.0]])), ("l.txt", b"a\nzebu\n")]);
    assert_eq!(
        told(&spec, &files),
        "l.txt:2: the label \"zebu\" is not in `pool.classes`; correct it, or add the class"
    );
}

#[test]
fn a_million_rows_cost_no_memory_but_while_duplicates_are_looked_for() {
    const ROWS: usize = 1_000_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = header("<f4", &format!("({ROWS}, 2)"));
    file.extend((0..ROWS * 2).flat_map(|n| (n as f32).to_le_bytes()));
    std::fs::write(folder.path().join("p.npy"), file).expect("room for 8 MB");
    let pool = Pool::load(&npy_spec(), folder.path()).expect("a long matrix");
    // One run of numbers is all that is kept of ids, rows and parts; there are no labels, no features and no copies.
    assert!(
        matches!(&pool.ids, Ids::Generated { numbers, .. } if *numbers == Runs::all_but(ROWS, []))
    );
    assert_eq!(pool.split().train, Runs::all_but(ROWS, []));
    assert!(matches!(&pool.labels, Labels::Classes(classes) if classes.capacity() == 0));
    assert_eq!(pool.copies.rows().count(), 0);
    assert_eq!(&*pool.id(999_999), "p-999999");
    assert_eq!(pool.gather(&[999_999]).expect("the last row").data(), [1_999_998.0, 1_999_999.0]);
}

#[test]
fn a_file_that_is_written_to_while_in_use_is_noticed() {
    let bytes = npy(&[&[1.0], &[2.0]]);
    let folder = folder(&[("p.npy", &bytes)]);
    let pool = Pool::load(&npy_spec(), folder.path()).expect("a matrix");
    assert!(!pool.is_stale(folder.path()));
    let longer = [bytes, vec![0; 4]].concat();
    std::fs::write(folder.path().join("p.npy"), longer).expect("a writable file");
    let error = pool.gather(&[0]).expect_err("the file changed").to_string();
    assert!(error.contains("written to while in use"), "{error}");
    assert!(pool.is_stale(folder.path()));
}

#[test]
fn predictions_lie_beside_any_pool_and_follow_its_rows() {
    let csv = b"id,x,label\nq,1,a\nz,no,a\np,3,b\n";
    let predictions = npy(&[&[0.25, 0.75], &[0.0, 1.0], &[0.5, 0.5]]);
    let files = [("p.csv", csv.as_slice()), ("p.npy", &predictions)];
    let spec = PoolSpec {
        path: "p.csv".to_owned(),
        id_column: Some("id".to_owned()),
        predictions: Some("p.npy".to_owned()),
        broken: Broken::Skip,
        ..PoolSpec::default()
    };
    let pool = Pool::load(&spec, folder(&files).path()).expect("a pool");
    let rows = pool.predictions().expect("predictions");
    assert_eq!((&*pool.id(0), rows.rows(), rows.cols()), ("p", 2, 2));
    assert_eq!(&*rows.read(0..2).expect("rows"), [0.5, 0.5, 0.25, 0.75]);
    let bad =
        |rows: &[&[f32]]| told(&spec, &folder(&[("p.csv", csv.as_slice()), ("p.npy", &npy(rows))]));
    assert_eq!(
        bad(&[&[1.0, 0.0]]),
        "p.npy: predictions for 1 samples, but the pool has 3; `pool.predictions` needs one row for each"
    );
    assert_eq!(
        bad(&[&[1.0], &[1.0], &[1.0]]),
        "p.npy: rows of the shape [1], but there are 2 classes; `pool.predictions` needs a probability for each class"
    );
    assert_eq!(
        bad(&[&[1.0, 0.0], &[0.5, 0.75], &[1.0, 0.0]]),
        "p.npy: row 1, counted from 0: no probabilities: each must be from 0 to 1, and all of them 1 together (they are 1.25)"
    );
}

fn jsonl_spec() -> PoolSpec {
    PoolSpec {
        source: PoolSource::Jsonl,
        path: "p.jsonl".to_owned(),
        text_field: Some("text".to_owned()),
        width: Some(64),
        ..PoolSpec::default()
    }
}

#[test]
fn texts_become_rows_of_length_one_in_which_only_words_count() {
    let lines = "{\"text\": \"Good, good day!\", \"label\": \"pos\", \"hour\": 7}\n\n{\"text\": \"bad\", \"label\": \"neg\", \"hour\": null}\n{\"text\": \"DAY good   good\", \"label\": null, \"hour\": 9}\n{\"text\": \"\"}\n";
    let spec = PoolSpec { metadata: vec!["hour".to_owned()], ..jsonl_spec() };
    let pool = Pool::load(&spec, folder(&[("p.jsonl", lines.as_bytes())]).path()).expect("texts");
    assert_eq!((pool.len(), pool.shape(), pool.classes().len()), (4, &[64][..], 2));
    assert_eq!(&*pool.id(1), "p-0001", "an empty line is no sample");
    let rows = pool.gather(&[0, 1, 2, 3]).expect("features");
    let length = |row: usize| rows.row(row).iter().map(|x| x * x).sum::<f32>();
    assert!((length(0) - 1.0).abs() < 1e-6 && (length(1) - 1.0).abs() < 1e-6);
    assert_eq!(rows.row(0).iter().filter(|x| **x != 0.0).count(), 2);
    assert!(rows.row(3).iter().all(|x| *x == 0.0), "no words");
    // The same words in another order, and so the same sample.
    assert_eq!((pool.duplicate_of(2), pool.duplicate_of(0)), (Some(0), None));
    assert_eq!(
        pool.metadata().column("hour"),
        Some(&Column::Whole(vec![Some(7), None, Some(9), None]))
    );
}

#[test]
fn a_list_of_numbers_in_a_line_is_an_embedding() {
    let lines = "{\"id\": 9, \"e\": [1, 2.5], \"label\": 1}\n{\"id\": \"10\", \"e\": [3, -4], \"label\": 0}";
    let spec = PoolSpec {
        text_field: None,
        features_field: Some("e".to_owned()),
        id_column: Some("id".to_owned()),
        ..jsonl_spec()
    };
    let pool = Pool::load(&spec, folder(&[("p.jsonl", lines.as_bytes())]).path()).expect("lines");
    assert_eq!((&*pool.id(0), &*pool.id(1)), ("10", "9"), "in the order of ids, as texts");
    assert_eq!(values(&pool), [3.0, -4.0, 1.0, 2.5]);
    assert_eq!((pool.label(0), pool.label(1)), (Some(0), Some(1)));
    let bad = |line: &str| {
        let lines = format!("{{\"id\": 1, \"e\": [1, 2], \"label\": 1}}\n{line}\n");
        told(&spec, &folder(&[("p.jsonl", lines.as_bytes())]))
    };
    assert_eq!(
        bad("{\"id\": 2, \"e\": [1]}"),
        "p.jsonl:2: field \"e\" has 1 numbers, but the first sample has 2; every sample needs as many, at least one"
    );
    assert_eq!(
        bad("{\"id\": 2, \"e\": [1, \"x\"]}"),
        "p.jsonl:2: field \"e\", place 1: \"x\" is not a finite number that fits 32 bits (after `pool.scale`); correct it, or remove the line"
    );
    assert_eq!(bad("{\"id\": 2, \"f\": [1]}"), "p.jsonl:2: no field \"e\"; there are f, id");
    assert_eq!(
        bad("{\"e\": [1, 2]}"),
        "p.jsonl:2: no id in field \"id\"; every sample needs one, or leave out `pool.id_column`"
    );
    assert_eq!(bad("[1, 2]"), "p.jsonl:2: a list, but a JSON object is expected on each line");
    assert_eq!(
        bad("{\"id\": 1, \"e\": [1, 2]}"),
        "p.jsonl:2: the id \"1\" is taken by line 1; ids must differ"
    );
    assert!(bad("{\"id\": 2, ").starts_with("p.jsonl:2: not JSON: "));
}

#[test]
fn what_is_broken_is_left_out_where_the_workflow_says_so_and_listed() {
    let csv = b"a,label\n1,x\n2\nthree,x\n4,y\n5,\xff\n";
    let spec = PoolSpec { broken: Broken::Skip, ..spec() };
    let files = folder(&[("things.csv", csv)]);
    let pool = Pool::load(&spec, files.path()).expect("two good rows");
    let ids: Vec<_> = (0..pool.len()).map(|row| pool.id(row).into_owned()).collect();
    assert_eq!(ids, ["things-0000", "things-0003"], "a repaired row will rename nobody");
    assert_eq!(pool.index_of(&"things-0003".into()), Some(1));
    assert_eq!(pool.skipped().count, 3);
    let told = pool.skipped().listed[1].replace(&format!("{}/", files.path().display()), "");
    assert_eq!(
        told,
        "things.csv:4: column \"a\": \"three\" is not a finite number that fits 32 bits (after `pool.scale`); correct it, or remove the row"
    );
    let nothing = refusal(&spec, "a,label\nx,x\n");
    assert!(nothing.contains("every sample after the header line is broken"), "{nothing}");
}

#[test]
fn metadata_and_seconds_are_no_features() {
    let csv = "id,x,camera,hour,cost,label\nb,1,left,7,2.5,u\na,2,,8,1,v\n";
    let spec = PoolSpec {
        id_column: Some("id".to_owned()),
        metadata: ["camera", "hour"].map(str::to_owned).to_vec(),
        seconds_column: Some("cost".to_owned()),
        ..spec()
    };
    let pool = load(&spec, csv).expect("good data");
    assert_eq!(values(&pool), [2.0, 1.0]);
    assert_eq!(pool.seconds(), Some(&[1.0, 2.5][..]));
    assert_eq!(pool.metadata().rows, 2);
    let cameras = Column::Text(vec![None, Some("left".into())]);
    assert_eq!(pool.metadata().column("camera"), Some(&cameras));
    assert_eq!(pool.metadata().column("hour"), Some(&Column::Whole(vec![Some(8), Some(7)])));
    assert_eq!(
        refusal(&spec, csv.replace("2.5", "0")),
        "things.csv:2: \"0\" in `pool.seconds_column` is not a number of seconds above 0; correct it, or remove the row"
    );
}

#[cfg(feature = "images")]
mod images {
    use super::*;

    fn png(width: u32, height: u32, colour: png::ColorType, bytes: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(bytes).expect("pixels");
        writer.finish().expect("an end");
        file
    }

    fn spec() -> PoolSpec {
        PoolSpec {
            source: PoolSource::Images,
            path: "images".to_owned(),
            size: Some([1, 2]),
            ..PoolSpec::default()
        }
    }

    #[test]
    fn a_folder_of_images_is_a_pool_whose_labels_are_its_folders() {
        let red = png(2, 1, png::ColorType::Rgb, &[255, 0, 0, 0, 0, 255]);
        let grey = png(1, 1, png::ColorType::Grayscale, &[51]);
        let files = folder(&[
            ("images/cat/1.png", &red),
            ("images/dog/2.PNG", &grey),
            ("images/3.png", &red),
            ("images/.hidden/4.png", b"no"),
        ]);
        let pool = Pool::load(&spec(), files.path()).expect("images");
        let ids: Vec<_> = (0..pool.len()).map(|row| pool.id(row).into_owned()).collect();
        assert_eq!(ids, ["3.png", "cat/1.png", "dog/2.PNG"]);
        assert_eq!([0, 1, 2].map(|row| pool.label(row)), [None, Some(0), Some(1)]);
        assert_eq!(
            (pool.classes(), pool.shape()),
            (&["cat", "dog"].map(str::to_owned)[..], &[3, 1, 2][..])
        );
        let rows = pool.gather(&[1, 2]).expect("pixels");
        assert_eq!(rows.row(0), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(rows.row(1), [0.2; 6]);
        assert_eq!(pool.duplicate_of(1), Some(0), "the same bytes");
        let spec = PoolSpec {
            layout: ImageLayout::Hwc,
            channels: ImageChannels::Grey,
            mean: vec![0.5],
            std: vec![0.5],
            ..spec()
        };
        let pool = Pool::load(&spec, files.path()).expect("images");
        assert_eq!(pool.shape(), [1, 2, 1]);
        let rows = pool.gather(&[2]).expect("pixels");
        assert!(rows.data().iter().all(|value| (value + 0.6).abs() < 1e-6), "{rows:?}");
    }

    #[test]
    fn an_image_that_shrinks_is_averaged() {
        let stripes: Vec<u8> = (0..8 * 4).map(|n| if n % 2 == 0 { 0 } else { 254 }).collect();
        let files = folder(&[
            ("images/a/1.png", &png(8, 4, png::ColorType::Grayscale, &stripes)),
            ("images/b/2.png", &png(1, 1, png::ColorType::Grayscale, &[0])),
        ]);
        let spec = PoolSpec { channels: ImageChannels::Grey, scale: 255.0, ..spec() };
        let pool = Pool::load(&spec, files.path()).expect("images");
        let row = pool.gather(&[0]).expect("pixels");
        assert!(row.data().iter().all(|value| (value - 127.0).abs() < 10.0), "{row:?}");
    }

    #[test]
    fn a_broken_image_is_told_with_its_path_and_fails_or_is_left_out() {
        let good = png(1, 1, png::ColorType::Grayscale, &[1]);
        let other = png(1, 1, png::ColorType::Grayscale, &[2]);
        let cut = &good[..good.len() - 20];
        let files = folder(&[
            ("images/a/1.png", &good),
            ("images/a/2.png", cut),
            ("images/b/3.jpg", b"\xff\xd8\xff\xe0nonsense"),
            ("images/b/4.png", &other),
            ("images/b/5.png", b"text"),
            ("images/notes.txt", b"hello"),
        ]);
        let message = told(&spec(), &files);
        assert!(message.starts_with("images/a/2.png: a broken PNG image: "), "{message}");
        assert!(
            message.ends_with("; replace the file, remove it, or set `pool.broken` to \"skip\""),
            "{message}"
        );
        let spec = PoolSpec { broken: Broken::Skip, ..spec() };
        let pool = Pool::load(&spec, files.path()).expect("two good images");
        assert_eq!((pool.len(), pool.skipped().count), (2, 4));
        let all = pool.skipped().listed.join("\n");
        for name in [
            "a/2.png: a broken PNG",
            "b/3.jpg: a broken JPEG",
            "b/5.png: neither a PNG nor a JPEG",
            "notes.txt: not named",
        ] {
            assert!(all.contains(name), "{name}: {all}");
        }
    }

    #[test]
    fn a_folder_that_is_none_and_one_without_images_are_refused() {
        let files = folder(&[("images", b"a file"), ("empty/x.txt", b"")]);
        assert!(told(&spec(), &files).starts_with("could not read the pool file images"));
        let empty = PoolSpec { path: "empty".to_owned(), ..spec() };
        assert_eq!(
            told(&empty, &files),
            "empty: no image in it; PNG and JPEG files are read, also in folders below"
        );
        std::fs::write(
            files.path().join("empty/y.png"),
            png(1, 1, png::ColorType::Grayscale, &[0]),
        )
        .expect("a file");
        assert!(told(&empty, &files).contains("the classes are []"));
    }
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_file_is_read_as_csv_is_and_lists_are_embeddings() {
    use ::parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;
    let schema = "message m { REQUIRED BYTE_ARRAY id (UTF8); REQUIRED INT64 n; OPTIONAL BYTE_ARRAY label (UTF8); \
                  REQUIRED GROUP e (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } } }";
    let schema = std::sync::Arc::new(parse_message_type(schema).expect("a schema"));
    let mut file = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut file, schema, Default::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let texts =
        |texts: &[&str]| texts.iter().map(|text| ByteArray::from(*text)).collect::<Vec<_>>();
    let mut column = group.next_column().expect("ids").expect("ids");
    column.typed::<ByteArrayType>().write_batch(&texts(&["b", "a"]), None, None).expect("ids");
    column.close().expect("ids");
    let mut column = group.next_column().expect("numbers").expect("numbers");
    column.typed::<Int64Type>().write_batch(&[7, 8], None, None).expect("numbers");
    column.close().expect("numbers");
    let mut column = group.next_column().expect("labels").expect("labels");
    column
        .typed::<ByteArrayType>()
        .write_batch(&texts(&["x"]), Some(&[1, 0]), None)
        .expect("labels");
    column.close().expect("labels");
    let mut column = group.next_column().expect("lists").expect("lists");
    let numbers = [1.0, 2.0, 3.0, 4.0];
    column
        .typed::<FloatType>()
        .write_batch(&numbers, Some(&[1; 4]), Some(&[0, 1, 0, 1]))
        .expect("lists");
    column.close().expect("lists");
    group.close().expect("a group");
    writer.close().expect("a file");
    let spec = PoolSpec {
        source: PoolSource::Parquet,
        path: "p.parquet".to_owned(),
        id_column: Some("id".to_owned()),
        features_field: Some("e".to_owned()),
        metadata: vec!["n".to_owned()],
        classes: ["x", "y"].map(str::to_owned).to_vec(),
        ..PoolSpec::default()
    };
    let files = folder(&[("p.parquet", &file)]);
    let pool = Pool::load(&spec, files.path()).expect("a pool");
    assert_eq!((&*pool.id(0), pool.label(0), pool.label(1)), ("a", None, Some(0)));
    assert_eq!(values(&pool), [3.0, 4.0, 1.0, 2.0]);
    assert_eq!(pool.metadata().column("n"), Some(&Column::Whole(vec![Some(8), Some(7)])));
    let plain = PoolSpec { features_field: None, metadata: vec!["e".to_owned()], ..spec.clone() };
    assert_eq!(values(&Pool::load(&plain, files.path()).expect("a pool")), [8.0, 7.0]);
    let missing = PoolSpec { label_column: "lable".to_owned(), ..spec.clone() };
    assert!(told(&missing, &files).contains("did you mean \"label\"?"));
    for end in 0..file.len() {
        let files = folder(&[("p.parquet", &file[..end])]);
        assert!(told(&spec, &files).contains("p.parquet: a broken Parquet file"));
    }
}

#[test]
fn a_format_that_is_not_built_in_says_how_to_build_it() {
    if cfg!(feature = "parquet") {
        return;
    }
    let spec = PoolSpec {
        source: PoolSource::Parquet,
        path: "p.parquet".to_owned(),
        ..PoolSpec::default()
    };
    assert_eq!(
        told(&spec, &folder(&[])),
        "p.parquet: this build cannot read Parquet pools: build with `--features parquet`"
    );
}

quickcheck! {
    /// What NumPy would save is read back bit for bit, whatever rows are asked for.
    fn a_matrix_reads_back(rows: Vec<(i16, i16)>, picks: Vec<u8>) -> bool {
        if rows.is_empty() {
            return true;
        }
        let rows: Vec<[f32; 2]> = rows.iter().map(|&(a, b)| [f32::from(a), f32::from(b) / 8.0]).collect();
        let slices: Vec<&[f32]> = rows.iter().map(<[f32; 2]>::as_slice).collect();
        let files = folder(&[("p.npy", &npy(&slices))]);
        let pool = Pool::load(&npy_spec(), files.path()).expect("a matrix");
        let picks: Vec<usize> = picks.iter().map(|&pick| usize::from(pick) % rows.len()).collect();
        let gathered = pool.gather(&picks).expect("rows");
        values(&pool) == rows.concat()
            && picks.iter().enumerate().all(|(place, &row)| gathered.row(place) == rows[row])
            && (0..pool.len()).all(|row| pool.index_of(&pool.sample(row)) == Some(row))
    }

    /// Arbitrary bytes are a pool or an error, never a panic.
    fn arbitrary_bytes_are_no_panic(bytes: Vec<u8>, shape: (u8, u8)) -> bool {
        let matrix = [header("<f2", &format!("({}, {})", shape.0, shape.1)), bytes.clone()].concat();
        let files = folder(&[("p.npy", &matrix), ("p.jsonl", &bytes), ("images/a/b.png", &bytes)]);
        let images = PoolSpec { source: PoolSource::Images, path: "images".into(), size: Some([2, 2]), ..PoolSpec::default() };
        [npy_spec(), jsonl_spec(), images].iter().all(|spec| {
            Pool::load(spec, files.path()).map_or_else(|error| !error.to_string().is_empty(), |pool| !pool.is_empty())
        })
    }
}
