//! Records: small values with expiry and compare-and-set.

use parlor_hub::engine::{Expect, Record};
use parlor_proto::codes::Code;
use parlor_proto::limits::{RECORD_BYTES, RECORD_KEY_BYTES};

use super::bench::{Bench, START, refused, wait};

#[track_caller]
fn put(bench: &Bench, key: &str, value: &[u8]) -> u64 {
    bench.put("kind", key, Some(value), None, Expect::Anything).expect("written").expect("a version")
}

pub fn a_record_is_kept_replaced_and_deleted(bench: &Bench) {
    assert_eq!(bench.get("kind", "key"), None);
    let first = put(bench, "key", b"\x00one");
    assert_ne!(first, 0);
    let record = Record { key: "key".into(), value: b"\x00one".to_vec(), version: first, expires: None };
    assert_eq!(bench.get("kind", "key"), Some(record));
    let second = put(bench, "key", b"");
    assert_ne!(second, first);
    assert_eq!(bench.get("kind", "key").expect("a record").value, b"");
    assert_eq!(bench.get("other kind", "key"), None);
    assert_eq!(bench.put("kind", "key", None, None, Expect::Anything), Ok(Some(0)));
    assert_eq!(bench.get("kind", "key"), None);
    assert_eq!(bench.put("kind", "key", None, None, Expect::Anything), Ok(Some(0)));
    let third = put(bench, "key", b"three");
    assert!(third != second && third != first);
}

pub fn a_write_happens_only_as_expected(bench: &Bench) {
    let write = |expect| bench.put("kind", "key", Some(b"x"), None, expect).expect("an answer");
    assert_eq!(write(Expect::Version(1)), None);
    let first = write(Expect::Absent).expect("written");
    assert_eq!(write(Expect::Absent), None);
    assert_eq!(write(Expect::Version(first.wrapping_add(1))), None);
    let second = write(Expect::Version(first)).expect("written");
    assert_eq!(write(Expect::Version(first)), None);
    assert_eq!(bench.put("kind", "key", None, None, Expect::Version(first)), Ok(None));
    assert_eq!(bench.put("kind", "key", None, None, Expect::Absent), Ok(None));
    assert_eq!(bench.get("kind", "key").expect("a record").version, second);
    assert_eq!(bench.put("kind", "key", None, None, Expect::Version(second)), Ok(Some(0)));
    assert_eq!(bench.put("kind", "key", None, None, Expect::Version(second)), Ok(None));
    assert_eq!(bench.put("kind", "key", None, None, Expect::Absent), Ok(Some(0)));
}

pub fn a_record_expires(bench: &Bench) {
    let expires = START + 1000;
    let version = bench
        .put("kind", "key", Some(b"x"), Some(expires), Expect::Anything)
        .expect("written")
        .expect("a version");
    bench.put("kind", "other", Some(b"x"), Some(expires), Expect::Anything).expect("written");
    bench.set_now(expires - 1);
    assert_eq!(bench.get("kind", "key").expect("a record").expires, Some(expires));
    assert_eq!(bench.put("kind", "key", Some(b"y"), None, Expect::Absent), Ok(None));
    bench.set_now(expires);
    assert_eq!(bench.get("kind", "key"), None);
    let listed = wait(|done| bench.engine.records().list("kind", "", None, 10, expires, done));
    assert_eq!(listed, Ok(Vec::new()));
    assert_eq!(bench.put("kind", "key", Some(b"y"), None, Expect::Version(version)), Ok(None));
    assert!(bench.put("kind", "key", Some(b"y"), None, Expect::Absent).expect("an answer").is_some());
    bench.set_now(START + 100_000_000);
    assert_eq!(bench.get("kind", "key").expect("a record without expiry").value, b"y");
}

pub fn records_are_listed_in_the_order_of_their_keys(bench: &Bench) {
    for key in ["b", "a/2", "a/1", "é", "a", "a/10"] {
        put(bench, key, key.as_bytes());
    }
    bench.put("kine", "a/0", Some(b""), None, Expect::Anything).expect("written");
    for (prefix, after, limit, expected) in [
        ("", None, 100, "a a/1 a/10 a/2 b é"),
        ("", None, 3, "a a/1 a/10"),
        ("", Some("a/10"), 2, "a/2 b"),
        ("a/", None, 100, "a/1 a/10 a/2"),
        ("a/", Some("a/1"), 100, "a/10 a/2"),
        ("a/", Some("A"), 100, "a/1 a/10 a/2"),
        ("a/", Some("b"), 100, ""),
        ("é", None, 100, "é"),
        ("z", None, 100, ""),
    ] {
        let found = wait(|done| bench.engine.records().list("kind", prefix, after, limit, START, done));
        let keys: Vec<_> = found.expect("a list").into_iter().map(|record| record.key).collect();
        assert_eq!(keys.join(" "), expected, "{prefix:?} after {after:?}");
    }
}

pub fn what_is_too_large_is_refused(bench: &Bench) {
    let key = "k".repeat(RECORD_KEY_BYTES);
    let value = vec![b'v'; RECORD_BYTES];
    put(bench, &key, &value);
    assert_eq!(bench.get("kind", &key).expect("a record").value, value);
    let write = |key: &str, value: &[u8]| bench.put("kind", key, Some(value), None, Expect::Anything);
    assert_eq!(refused(write(&format!("{key}k"), b"")), Code::TooLarge);
    assert_eq!(refused(write("key", &[value.as_slice(), b"v"].concat())), Code::TooLarge);
}

pub fn writers_at_once_take_turns(bench: &Bench) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 50;
    put(bench, "counter", b"0");
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut counted = 0;
                while counted < EACH {
                    let record = bench.get("kind", "counter").expect("a record");
                    let count: u64 = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
                    let next = (count + 1).to_string();
                    let expect = Expect::Version(record.version);
                    let written = bench.put("kind", "counter", Some(next.as_bytes()), None, expect);
                    counted += u64::from(written.expect("an answer").is_some());
                }
            });
        }
    });
    let record = bench.get("kind", "counter").expect("a record");
    assert_eq!(record.value, (WRITERS * EACH).to_string().as_bytes());
}
