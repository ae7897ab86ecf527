//! One node on the embedded store: restarts by SIGTERM and by `kill -9`, and old copies of the store put back.

use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use parlor_testkit::dice::Dice;
use parlor_testkit::server::{binary, serve_with};
use parlor_testkit::torture::{Truth, check_from, read_store};

use super::crowd::Crowd;
use super::network::Network;
use super::{ALONE, duration};

/// Rooms whose messages last, and one that forgets with its process.
const LASTING: [&str; 3] = ["a", "b", "c"];
const ROOMS: [&str; 4] = ["a", "b", "c", "memory:d"];

/// What is done to the store while nobody has it open.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Nothing,
    Copy,
    PutBack,
}

#[test]
fn every_transport_keeps_every_promise_while_everything_goes_wrong() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (binary, dir) = (binary(), tempfile::tempdir().unwrap());
    let mut dice = Dice::printed("torture");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let start = || serve_with(&binary, &data, &["--recovery", "120"]);
    let (mut server, address) = start();
    let api_key = fs::read_to_string(data.join("api.key")).unwrap().trim().to_owned();
    let network = Network::new(&[address], &mut dice);
    let crowd = Crowd { network: &network, lasting: &LASTING, rooms: &ROOMS, api_key: &api_key };
    let end = Instant::now() + duration();
    let (mut restarts, mut deeds) = ([0, 0], Vec::new());

    let noted = crowd.endure(&mut dice, |dice| {
        // Once each, and then as it comes.
        let mut first = [Deed::Nothing, Deed::Copy, Deed::PutBack].into_iter();
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(1_000 + dice.roll(3_000)));
            let kill = dice.index(2);
            restarts[kill] += 1;
            if kill == 1 {
                server.kill();
            } else {
                server.terminate();
            }
            server.wait();
            let deed = first
                .next()
                .unwrap_or_else(|| *dice.pick(&[Deed::Nothing, Deed::Nothing, Deed::Copy, Deed::PutBack]));
            match deed {
                Deed::Nothing => {}
                Deed::Copy => copy_dir(&data, &copy),
                Deed::PutBack => {
                    fs::rename(&data, dir.path().join(format!("life{}", network.life()))).unwrap();
                    copy_dir(&copy, &data);
                    network.next_life();
                }
            }
            deeds.push(deed);
            let (next, address) = start();
            server = next;
            network.moved(0, address);
        }
    });
    server.terminate();
    server.wait();

    println!("{} restarts, {} kills: {deeds:?}", restarts[0], restarts[1]);
    let over = |life| read_store(&dir.path().join(format!("life{life}")));
    let lives: Vec<Truth> = (0..network.life()).map(over).chain([read_store(&data)]).collect();
    assert!(lives.len() > 1, "an old copy was put back");
    noted.judge(&network, &check_from(&noted.logs, &lives));
}

fn copy_dir(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
