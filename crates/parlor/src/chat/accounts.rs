//! Guests and their names: who has which name, for how long, and what proves it.
//!
//! A name belongs to its guest while a connection is open. Once the guest has shown its token, the account is stored
//! and the name stays for 24 hours after the last connection; a guest who never shows it leaves nothing behind. A name
//! that has lapsed is a new account for whoever takes it next.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlor_hub::Author;
use parlor_hub::engine::Engine;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{NAME_HELD, TOKEN};
use parlor_proto::name::{UserName, fold};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::random;
use super::store;

/// The guests that are connected now, over the stored ones.
pub(crate) struct Accounts {
    engine: Arc<dyn Engine>,
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    /// By folded name.
    names: HashMap<String, Arc<Account>>,
    /// Folded names by account.
    users: HashMap<Arc<str>, String>,
}

/// A connected guest.
pub(crate) struct Account {
    author: Author,
    /// SHA-256 of the token's secret.
    hash: Hash,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: u32,
    /// The token was shown: the account is stored.
    proven: bool,
    /// Offsets read, by the room's name.
    read: HashMap<Arc<str>, u64>,
}

/// An account as it is stored, by user id, and under its folded name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    user: String,
    name: String,
    hash: Hash,
}

type Hash = [u8; 32];

/// One connection's hold on its account; dropping it lets go.
pub(crate) struct Login {
    accounts: Arc<Accounts>,
    pub(crate) account: Arc<Account>,
    /// What the guest shows to be the same guest again; known only when it was just made or just shown.
    pub(crate) token: Option<String>,
    /// The account was made just now: nothing can be waiting for it.
    pub(crate) fresh: bool,
}

const ACCOUNT: &str = "account";
const NAME: &str = "name";
const READ: &str = "read";
/// Read markers of one account that are kept at hand.
const MARKERS: u32 = 1_000;
const HELD_MS: u64 = NAME_HELD.as_millis() as u64;

impl Accounts {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Accounts {
        Accounts { engine, present: Mutex::default() }
    }

    /// Who connects: the account of the token, or a new guest with the name, or with a made-up one.
    pub(crate) async fn login(
        self: &Arc<Self>,
        name: Option<UserName>,
        token: Option<&str>,
        now: u64,
    ) -> Result<Login, Refusal> {
        if let Some(token) = token {
            match self.login_with(token, now).await? {
                Some(login) => return Ok(login),
                // A lapsed guest with a name starts anew; one without has nothing to be.
                None if name.is_some() => {}
                None => {
                    return Err(Refusal::new(Code::Unauthenticated, "this token is not valid (any more)"));
                }
            }
        }
        let Some(name) = name else {
            return self.claim_any();
        };
        let login = self.claim(name.as_str())?;
        let stored: Option<Stored> = store::get(&self.engine, NAME, &name.folded(), now).await?;
        match stored {
            Some(_) => Err(self.taken(name.as_str())),
            None => Ok(login),
        }
    }

    /// The account of a name that somebody wants to write to: connected, or stored.
    pub(crate) async fn find(&self, name: &str, now: u64) -> Result<Option<Author>, Refusal> {
        let folded = fold(name);
        if let Some(author) = self.find_present(&folded) {
            return Ok(Some(author));
        }
        let stored: Option<Stored> = store::get(&self.engine, NAME, &folded, now).await?;
        Ok(stored.map(|stored| Author { user: stored.user.into(), name: stored.name.into() }))
    }

    pub(crate) fn find_present(&self, folded: &str) -> Option<Author> {
        self.lock().names.get(folded).map(|account| account.author.clone())
    }

    fn account_of(&self, user: &str) -> Option<Arc<Account>> {
        let present = self.lock();
        present.names.get(present.users.get(user)?).cloned()
    }

    /// Notes that something was read, if it is further than before, and says how far it is now.
    pub(crate) fn read(&self, user: &str, room: &str, offset: u64) -> u64 {
        let Some(account) = self.account_of(user) else { return offset };
        let mut state = account.lock();
        let read = state.read.entry(room.into()).or_default();
        *read = offset.max(*read);
        *read
    }

    /// Keeps a read marker.
    pub(crate) async fn keep_read(
        &self,
        user: &str,
        room: &str,
        offset: u64,
        now: u64,
    ) -> Result<(), Refusal> {
        store::put(&self.engine, READ, &format!("{user}/{room}"), &offset, None, now).await
    }

    async fn login_with(self: &Arc<Self>, token: &str, now: u64) -> Result<Option<Login>, Refusal> {
        let Some((user, secret)) = token.split_once('.').filter(|_| token.len() <= TOKEN) else {
            return Ok(None);
        };
        let hash = hash(secret);
        if let Some(account) = self.account_of(user) {
            if !same(&account.hash, &hash) {
                return Ok(None);
            }
            let login = self.hold(account, token);
            login.prove(now).await?;
            return Ok(Some(login));
        }
        let stored: Option<Stored> = store::get(&self.engine, ACCOUNT, user, now).await?;
        let Some(stored) = stored.filter(|stored| same(&stored.hash, &hash)) else { return Ok(None) };
        let folded = fold(&stored.name);
        let owner: Option<Stored> = store::get(&self.engine, NAME, &folded, now).await?;
        if owner.is_none_or(|owner| owner.user != stored.user) {
            return Ok(None);
        }
        let Some(mut login) = self.seat(stored, true, now).await? else { return Ok(None) };
        login.token = Some(token.to_owned());
        login.prove(now).await?;
        Ok(Some(login))
    }

    /// The account of a connection that is recovered, if nobody else has its name by now.
    pub(crate) async fn restore(self: &Arc<Self>, stored: &Stored, now: u64) -> Option<Login> {
        let owner: Option<Stored> = store::get(&self.engine, NAME, &fold(&stored.name), now).await.ok()?;
        match owner {
            Some(owner) if owner.user != stored.user => None,
            owner => self.seat(stored.clone(), owner.is_some(), now).await.ok()?,
        }
    }

    /// Puts an account among those that are present; `None`: another one has its name.
    async fn seat(
        self: &Arc<Self>,
        stored: Stored,
        proven: bool,
        now: u64,
    ) -> Result<Option<Login>, Refusal> {
        let folded = fold(&stored.name);
        let read = self.read_markers(&stored.user, now).await?;
        let author = Author { user: stored.user.as_str().into(), name: stored.name.into() };
        let state = Mutex::new(State { connections: 0, proven, read });
        let account = Arc::new(Account { author, hash: stored.hash, state });
        let mut present = self.lock();
        // Another tab may be here: both are the same guest.
        let account = present.names.entry(folded.clone()).or_insert(account);
        if *account.author.user != *stored.user {
            return Ok(None);
        }
        let account = Arc::clone(account);
        present.users.insert(Arc::clone(&account.author.user), folded);
        account.lock().connections += 1;
        drop(present);
        Ok(Some(Login { accounts: Arc::clone(self), account, token: None, fresh: false }))
    }

    /// A new account under a name that nobody who is connected has.
    fn claim(self: &Arc<Self>, name: &str) -> Result<Login, Refusal> {
        let folded = fold(name);
        // 13 characters are 65 bits: ids are never used again.
        let user: Arc<str> = format!("g{}", random::text(13)).into();
        let secret = random::text(24);
        let author = Author { user: Arc::clone(&user), name: name.into() };
        let state = Mutex::new(State { connections: 1, ..State::default() });
        let account = Arc::new(Account { author, hash: hash(&secret), state });
        let mut present = self.lock();
        if present.names.contains_key(&folded) {
            drop(present);
            return Err(self.taken(name));
        }
        present.names.insert(folded.clone(), Arc::clone(&account));
        present.users.insert(Arc::clone(&user), folded);
        drop(present);
        Ok(Login {
            accounts: Arc::clone(self),
            account,
            token: Some(format!("{user}.{secret}")),
            fresh: true,
        })
    }

    /// A new account under a made-up name: short while few are here, so that people can read it.
    fn claim_any(self: &Arc<Self>) -> Result<Login, Refusal> {
        (4..24).find_map(|length| self.claim(&format!("guest-{}", random::text(length))).ok()).ok_or_else(
            || Refusal::new(Code::Busy, "no name is free; connect with one of your own: ?name=ann"),
        )
    }

    fn hold(self: &Arc<Self>, account: Arc<Account>, token: &str) -> Login {
        account.lock().connections += 1;
        Login { accounts: Arc::clone(self), account, token: Some(token.to_owned()), fresh: false }
    }

    fn taken(&self, name: &str) -> Refusal {
        let free =
            (2..).map(|n| format!("{name}{n}")).filter(|other| self.find_present(&fold(other)).is_none());
        Refusal::name_taken(name, free.take(3).collect())
    }

    async fn read_markers(&self, user: &str, now: u64) -> Result<HashMap<Arc<str>, u64>, Refusal> {
        let prefix = format!("{user}/");
        let records = store::list(&self.engine, READ, &prefix, MARKERS, now).await?;
        let marker = |record: parlor_hub::engine::Record| {
            let room = record.key.strip_prefix(&prefix)?.into();
            Some((room, serde_json::from_slice(&record.value).ok()?))
        };
        Ok(records.into_iter().filter_map(marker).collect())
    }

    fn release(&self, account: &Arc<Account>) {
        // The table's lock first, so that nobody comes in between the last one's leaving and the removal.
        let mut present = self.lock();
        let mut state = account.lock();
        state.connections -= 1;
        if state.connections > 0 {
            return;
        }
        if let Some(folded) = present.users.remove(&account.author.user) {
            present.names.remove(&folded);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// What is written down of it.
    pub(crate) fn stored(&self) -> Stored {
        let Author { user, name } = &self.author;
        Stored { user: user.to_string(), name: name.to_string(), hash: self.hash }
    }

    /// How far this account has read a room.
    pub(crate) fn read_in(&self, room: &str) -> Option<u64> {
        self.lock().read.get(room).copied()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    pub(crate) fn author(&self) -> &Author {
        &self.account.author
    }

    /// Whether `token` is this account's.
    pub(crate) fn accepts(&self, token: &str) -> bool {
        token.split_once('.').is_some_and(|(user, secret)| {
            user == &*self.account.author.user && same(&self.account.hash, &hash(secret))
        })
    }

    /// The token was shown: stores the account, or keeps it for another 24 hours.
    pub(crate) fn prove(&self, now: u64) -> impl Future<Output = Result<(), Refusal>> + Send + 'static {
        self.account.lock().proven = true;
        let Author { user, name } = self.account.author.clone();
        let stored = self.account.stored();
        let engine = Arc::clone(&self.accounts.engine);
        async move {
            store::put(&engine, ACCOUNT, &user, &stored, Some(now + HELD_MS), now).await?;
            store::put(&engine, NAME, &fold(&name), &stored, Some(now + HELD_MS), now).await
        }
    }

    /// At the end: the 24 hours begin now.
    pub(crate) fn keep(&self, now: u64) {
        if self.account.lock().proven {
            let kept = self.prove(now);
            tokio::spawn(async move {
                if let Err(refusal) = kept.await {
                    tracing::warn!(%refusal, "a guest's name may lapse early");
                }
            });
        }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.accounts.release(&self.account);
    }
}

fn hash(secret: &str) -> Hash {
    Sha256::digest(secret).into()
}

/// Compares digests; how long it takes says nothing about a secret, because the digests are no secret of the peer's.
fn same(a: &Hash, b: &Hash) -> bool {
    a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("present", &self.lock().names.len()).finish_non_exhaustive()
    }
}
