//! `gleaner report`: a run as one page that needs nothing else.

use crate::program::{Folder, Live, WRONG, stderr, told};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whoever may write something into a pool writes this.
const HOSTILE: &str = "<script>alert(1)</script>\u{202e}&";

/// A folder with a pool of texts that try to be markup, and a production run on it that is over.
fn hostile() -> Folder {
    let folder = Folder::new();
    let texts: String = (0..60)
        .map(|row| {
            let word = ["cat", "dog", "fish"][row % 3];
            let line = serde_json::json!({
                "id": format!("{row:02}{HOSTILE}"),
                "text": format!("{word} number {row} {word} {HOSTILE} {}", "and on ".repeat(row)),
                "label": format!("{word}{HOSTILE}"),
            });
            format!("{line}\n")
        })
        .collect();
    folder.write("pool.jsonl", texts);
    let output = folder.run(&[
        "run.name=small <b>&",
        "pool.source=jsonl",
        "pool.path=pool.jsonl",
        "pool.text_field=text",
        "pool.width=32",
        "pool.id_column=id",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    folder
}

fn page(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.gleaner(&[&["report"], arguments].concat()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    fs::read_to_string(folder.path("report.html")).unwrap()
}

/// What stands in double quotes behind each `name=`.
fn attributes<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let begin = format!(" {name}=\"");
    page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn a_page_needs_nothing_else_and_nothing_in_it_becomes_markup() {
    let page = page(&hostile(), &[]);
    assert!(!page.contains("<script") && !page.contains("small <b>"), "{page}");
    assert!(page.contains("cat number") && page.contains("cat&lt;script&gt;alert(1)"), "{page}");
    for elsewhere in ["http:", "https:", "url(", "@import", "<link", "<iframe", "<object"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    assert!(attributes(&page, "src").iter().all(|source| source.starts_with("data:")));
    let ids: Vec<&str> = attributes(&page, "id");
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "an id is given once");
    let links = attributes(&page, "href");
    assert!(links.len() > 5);
    for link in links {
        let target = link.strip_prefix('#').expect(link);
        assert!(ids.contains(&target), "{link} leads nowhere");
    }
}

#[test]
fn as_many_picks_are_shown_as_asked_for_and_all_are_counted() {
    let folder = Folder::ended();
    assert_eq!(page(&folder, &[]).matches("<article").count(), 6);
    let few = page(&folder, &["--picks", "4"]);
    assert_eq!(few.matches("<article").count(), 4);
    // Of the newest cycle all, of the one before what is left.
    assert!(
        few.contains("The newest 4 picks of 6") && few.contains("2 more are not shown"),
        "{few}"
    );
    let none = page(&folder, &["--picks", "0"]);
    assert!(!none.contains("<article") && none.contains("The newest 0 picks of 6"));
}

#[test]
fn a_pool_that_is_gone_leaves_the_picks_without_their_looks() {
    let folder = Folder::ended();
    fs::remove_file(folder.path("pool.csv")).unwrap();
    let page = page(&folder, &[]);
    assert!(page.contains("cannot be shown") && page.contains("pool.csv"), "{page}");
    assert!(page.contains("rank 1, score"), "{page}");
    assert!(page.contains(">sound</span>"), "{page}");
}

#[test]
fn an_artifact_that_is_another_file_now_is_told() {
    let folder = Folder::ended();
    let models = folder.gleaner(&["models", "list", "--json"]).output().unwrap();
    let models: serde_json::Value = serde_json::from_slice(&models.stdout).unwrap();
    let digest = models[0]["model"].as_str().unwrap();
    let file = folder.path("state/artifacts").join(&digest[..2]).join(&digest[2..]);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "another file").unwrap();
    let page = page(&folder, &[]);
    assert!(page.contains("does not hold") && page.contains("is another file now"), "{page}");
    assert!(page.contains(digest), "{page}");
}

#[test]
fn a_run_at_work_is_reported_from_a_second_terminal() {
    let folder = Folder::new();
    let mut live = Live::start(folder.running(&[
        "stop.max_cycles=30",
        "selector.batch=1",
        "trainer.epochs=2000",
    ]));
    live.until("  2 ");
    let html = page(&folder, &[]);
    let output = folder.gleaner(&["report", "--json"]).output().unwrap();
    live.signal("INT");
    live.end();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["stands"]["active"].is_string(), "{}", report["stands"]);
    assert!(report["batches"][0]["picks"][0]["look"]["numbers"]["count"] == 2, "{report}");
    assert!(html.contains(">sound</span>") && !html.contains("data:image"), "{html}");
}

#[test]
fn the_curve_is_a_picture_of_its_own() {
    let folder = Folder::ended();
    let asked = ["report", "--curve", "curve.svg", "--curve", "curve.png"];
    let output = folder.gleaner(&asked).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!folder.path("report.html").exists(), "nobody asked for the page");
    let svg = fs::read_to_string(folder.path("curve.svg")).unwrap();
    assert!(svg.contains("after training, test samples</text>"), "{svg}");
    assert!(fs::read(folder.path("curve.png")).unwrap().starts_with(b"\x89PNG"));
    let output = folder.gleaner(&["report", "--curve", "curve.pdf"]).output().unwrap();
    told(&output, WRONG, &["curve.pdf", ".svg or .png"]);
    let output = folder.gleaner(&["report", "-o", "nowhere/report.html"]).output().unwrap();
    told(&output, WRONG, &["nowhere/report.html"]);
}

/// A browser on this machine.
fn browser() -> Option<PathBuf> {
    let named = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .flat_map(|folder| named.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: no Chromium here (Debian: apt-get install chromium)");
    }
    found
}

/// What the browser makes of a file: the page after it was loaded, and everything that the page's console said.
fn opened(browser: &Path, file: &Path, flags: &[&str]) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-extensions"])
        .args(["--enable-logging=stderr", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(flags)
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    let console = String::from_utf8_lossy(&output.stderr);
    let console = console.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned);
    (page, console.collect())
}

/// A page that holds `report` in a frame as wide as a phone's screen, and says what it measured there. The report's own rules
/// forbid it scripts, so the frame's parent looks in.
fn framed(report: &str, width: u32) -> String {
    let source = report.replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!doctype html><meta charset=utf-8><style>body{{margin:0}}iframe{{border:0;width:{width}px;height:100vh;display:block}}</style>\
         <iframe srcdoc=\"{source}\"></iframe><pre id=found></pre><script>\
         onload = () => {{\
           const frame = document.querySelector('iframe'), page = frame.contentDocument, root = page.documentElement;\
           const wide = [...page.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > {width} + 1);\
           document.getElementById('found').textContent = JSON.stringify({{\
             inner: root.clientWidth, scrolled: root.scrollWidth,\
             wide: wide.map(e => e.outerHTML.slice(0, 80)),\
             requests: frame.contentWindow.performance.getEntriesByType('resource').map(e => e.name),\
             pictures: [...page.images].filter(e => e.naturalWidth === 0).length,\
           }});\
         }}</script>"
    )
}

fn found(page: &str) -> serde_json::Value {
    let text = page.split("<pre id=\"found\">").nth(1).unwrap().split("</pre>").next().unwrap();
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_page_stands_in_a_browser_on_a_phone_and_without_scripts() {
    let Some(browser) = browser() else { return };
    let folder = hostile();
    let report = page(&folder, &[]);
    let file = folder.path("report.html");
    let (shown, console) = opened(&browser, &file, &["--dump-dom"]);
    assert!(shown.contains("id=\"record\""), "the browser showed nothing: {shown}");
    assert!(console.is_empty(), "{console:?}");
    // What is forbidden would be told.
    let strange =
        report.replace("</main>", "<script>1</script><img src=\"https://x.invalid/x.png\"></main>");
    folder.write("strange.html", strange);
    let (_, console) = opened(&browser, &folder.path("strange.html"), &["--dump-dom"]);
    assert_eq!(console.len(), 2, "{console:?}");
    for width in [320, 390, 1280] {
        let name = format!("framed-{width}.html");
        folder.write(&name, framed(&report, width));
        let (page, console) =
            opened(&browser, &folder.path(&name), &["--dump-dom", "--window-size=1400,900"]);
        assert!(console.is_empty(), "{console:?}");
        let found = found(&page);
        assert_eq!(found["inner"], width, "{found}");
        assert_eq!(found["scrolled"], width, "the page is wider than the screen: {found}");
        for nothing in ["wide", "requests"] {
            assert_eq!(found[nothing].as_array().unwrap().len(), 0, "{found}");
        }
        assert_eq!(found["pictures"], 0, "a picture is broken: {found}");
    }
    let seen = |flag: &str| {
        let picture = folder.path("screen.png");
        let screenshot = format!("--screenshot={}", picture.display());
        opened(&browser, &file, &[&screenshot, "--window-size=1280,2000", flag]);
        fs::read(picture).unwrap()
    };
    let picture = seen("--blink-settings=scriptEnabled=true");
    assert!(picture.starts_with(b"\x89PNG"));
    assert!(
        picture == seen("--blink-settings=scriptEnabled=false"),
        "it looks otherwise without scripts"
    );
}
