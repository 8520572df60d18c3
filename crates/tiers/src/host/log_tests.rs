use super::*;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn appender(path: &Path) -> File {
    std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
}

#[test]
fn old_parts_move_up_and_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("current.log");
    let mut writer = appender(&log);
    for round in 1..=4 {
        writeln!(writer, "round {round} {}", "x".repeat(8192)).unwrap();
        assert!(rotate(&log, 4096, 2).unwrap());
    }
    assert!(rotated(&log, 1).exists() && rotated(&log, 2).exists());
    assert!(!rotated(&log, 3).exists() && !rotated(&log, 0).exists());
    assert!(!rotate(&log, 1 << 20, 2).unwrap(), "a small one is left alone");
    assert!(!rotate(&folder.path().join("none.log"), 0, 2).unwrap());
}

/// On a file system that cannot collapse ranges the instant between copy and cut may lose lines.
fn collapses(folder: &Path) -> bool {
    let path = folder.join("probe");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, 1 << 19).is_ok()
}

#[tokio::test]
async fn rotation_while_a_writer_writes_loses_no_line_for_reader_and_follower() {
    const PARTS: u32 = 100;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("current.log");
    let lossless = collapses(folder.path());
    let mut follower = Follower::from_end([("app-1".to_owned(), log.clone())]);
    let mut file = appender(&log);
    let rotations = Arc::new(AtomicU32::new(0));
    let writer = std::thread::spawn({
        let rotations = rotations.clone();
        move || {
            let mut number = 0_u64;
            while rotations.load(Ordering::SeqCst) < 4 {
                writeln!(file, "line {number} {}", "x".repeat(50)).unwrap();
                number += 1;
            }
            writeln!(file, "line {number} last").unwrap();
            number
        }
    });
    let rotator = std::thread::spawn({
        let log = log.clone();
        move || {
            while rotations.load(Ordering::SeqCst) < 4 {
                rotations.fetch_add(u32::from(rotate(&log, 100_000, PARTS).unwrap()), Ordering::SeqCst);
                std::thread::yield_now();
            }
        }
    });
    let mut seen = Vec::new();
    let follow = async {
        loop {
            let Followed { source, line } = follower.next().await;
            assert_eq!(source, "app-1");
            seen.push(line.split(' ').nth(1).unwrap().parse::<u64>().unwrap());
            if line.ends_with("last") {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), follow).await.unwrap();
    let last = writer.join().unwrap();
    rotator.join().unwrap();
    if lossless {
        let mut text = String::new();
        for part in (1..PARTS).rev().map(|number| rotated(&log, number)).chain([log.clone()]) {
            text.push_str(&std::fs::read_to_string(part).unwrap_or_default());
        }
        let written: Vec<u64> =
            text.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        assert!(written == (0..=last).collect::<Vec<_>>(), "a line is missing or out of its place");
        assert!(seen == written, "the follower missed a line or saw one twice");
    }
}

#[test]
fn the_tail_is_bounded_and_cannot_drive_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("current.log");
    let mut writer = appender(&log);
    writeln!(writer, "\x1b[31mred\x1b[0m\x07 and\ttab \u{9b}2J \u{1b}]0;title\r").unwrap();
    assert_eq!(tail(&log, 20), ["red and    tab 2J ]0;title"]);
    writer.write_all(b"\xff\xfe broken utf-8\n").unwrap();
    writeln!(writer, "{}", "y".repeat(5000)).unwrap();
    let lines = tail(&log, 2);
    assert_eq!(lines[0], "\u{fffd}\u{fffd} broken utf-8");
    assert!(lines[1].len() < 1010 && lines[1].ends_with('…'));
    for number in 0..20_000 {
        writeln!(writer, "{number}").unwrap();
    }
    assert_eq!(tail(&log, 3), ["19997", "19998", "19999"]);
    assert!(tail(&folder.path().join("none.log"), 3).is_empty());
}

#[test]
fn the_tail_reaches_into_the_part_before() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("current.log");
    std::fs::write(rotated(&log, 1), "one\ntwo\n").unwrap();
    std::fs::write(&log, "three\n").unwrap();
    assert_eq!(tail(&log, 2), ["two", "three"]);
}
