//! Private SSH keys: read from files, held in memory, and used to sign. Nothing of one may be printed.

use std::{fs, io::Read as _, path::Path};

use base64::Engine as _;
use num_bigint::BigUint;
use ring::{
    rand::SystemRandom,
    rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use ssh_key::{
    Mpint, PrivateKey,
    private::{EcdsaKeypair, KeypairData, RsaKeypair},
};

/// Bytes of a key's file at most.
const LARGEST: u64 = 100 << 10;
/// Flags of a request to sign: <https://www.rfc-editor.org/rfc/rfc8332>.
const SHA256: u32 = 2;
const SHA512: u32 = 4;

/// A private key.
pub(super) struct Key {
    /// The public key as SSH sends it.
    pub(super) public: Vec<u8>,
    pub(super) comment: String,
    signer: Signer,
}

enum Signer {
    Ed25519(Ed25519KeyPair),
    /// And what SSH calls it.
    Ecdsa(EcdsaKeyPair, &'static str),
    Rsa(RsaKeyPair),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Reads a key's file; says why not, without what is in it. Blocks.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        let read = fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
        let named = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        read.map_err(|error| named(&error))?;
        Self::parse(&text, &path.to_string_lossy()).map_err(|why| named(&why))
    }

    fn parse(text: &str, name: &str) -> Result<Self, &'static str> {
        const ENCRYPTED: &str = "the key has a passphrase: add it to an SSH agent with ssh-add, and lend that";
        const NONE: &str = "it is no private SSH key that is known here; ssh-keygen -p -f FILE rewrites older ones";
        let text = text.trim();
        let old =
            text.lines().next().and_then(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("PRIVATE KEY-----"));
        if text.contains("Proc-Type: 4,ENCRYPTED") || old == Some("ENCRYPTED ") {
            return Err(ENCRYPTED);
        }
        let rsa = |pair: Result<RsaKeyPair, _>| {
            let pair = pair.map_err(|_: ring::error::KeyRejected| NONE)?;
            let rsa::PublicKeyComponents { n, e } = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
            let blob = [string(b"ssh-rsa"), mpint(&e), mpint(&n)];
            Ok(Self { public: blob.concat(), comment: name.to_owned(), signer: Signer::Rsa(pair) })
        };
        match old {
            Some("RSA ") => return rsa(RsaKeyPair::from_der(&body(text).ok_or(NONE)?)),
            Some("") => return rsa(RsaKeyPair::from_pkcs8(&body(text).ok_or(NONE)?)),
            _ => {}
        }
        // Some places keep a text without its last line break, or with those of another system.
        let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
        let key = PrivateKey::from_openssh(&text).map_err(|_| NONE)?;
        if key.is_encrypted() {
            return Err(ENCRYPTED);
        }
        let signer = signer(key.key_data()).ok_or(
            "keys of this kind cannot be lent: Ed25519, ECDSA P-256 and P-384, and RSA of 2048 to 4096 bits can",
        )?;
        let public = key.public_key().to_bytes().map_err(|_| NONE)?;
        let comment = if key.comment().is_empty() { name } else { key.comment() };
        Ok(Self { public, comment: comment.to_owned(), signer })
    }

    /// A signature as SSH sends it. `None` where the flags ask for one that this key does not make: of RSA, that is the
    /// old one with SHA-1.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let (name, signature) = match &self.signer {
            Signer::Ed25519(pair) => ("ssh-ed25519", pair.sign(data).as_ref().to_vec()),
            Signer::Ecdsa(pair, name) => {
                let fixed = pair.sign(&random, data).ok()?;
                let (r, s) = fixed.as_ref().split_at(fixed.as_ref().len() / 2);
                (*name, [mpint(r), mpint(s)].concat())
            }
            Signer::Rsa(pair) => {
                let (name, padding): (_, &dyn signature::RsaEncoding) = match flags {
                    _ if flags & SHA512 != 0 => ("rsa-sha2-512", &signature::RSA_PKCS1_SHA512),
                    _ if flags & SHA256 != 0 => ("rsa-sha2-256", &signature::RSA_PKCS1_SHA256),
                    _ => return None,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, data, &mut signature).ok()?;
                (name, signature)
            }
        };
        Some([string(name.as_bytes()), string(&signature)].concat())
    }
}

fn signer(data: &KeypairData) -> Option<Signer> {
    let ecdsa = |algorithm, name, pair: &EcdsaKeypair| {
        let (private, public) = (pair.private_key_bytes(), pair.public_key_bytes());
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public, &SystemRandom::new());
        Some(Signer::Ecdsa(pair.ok()?, name))
    };
    match data {
        KeypairData::Ed25519(pair) => {
            let (seed, public) = (pair.private.to_bytes(), pair.public.0);
            Some(Signer::Ed25519(Ed25519KeyPair::from_seed_and_public_key(&seed, &public).ok()?))
        }
        KeypairData::Ecdsa(pair @ EcdsaKeypair::NistP256 { .. }) => {
            ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "ecdsa-sha2-nistp256", pair)
        }
        KeypairData::Ecdsa(pair @ EcdsaKeypair::NistP384 { .. }) => {
            ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "ecdsa-sha2-nistp384", pair)
        }
        KeypairData::Rsa(pair) => Some(Signer::Rsa(rsa_pair(pair)?)),
        _ => None,
    }
}

/// OpenSSH leaves out what can be computed.
fn rsa_pair(pair: &RsaKeypair) -> Option<RsaKeyPair> {
    let number = |value: &Mpint| value.as_positive_bytes().map(<[u8]>::to_vec);
    let RsaKeypair { public, private } = pair;
    let (d, p, q) = (number(&private.d)?, number(&private.p)?, number(&private.q)?);
    let exponent = |prime: &[u8]| {
        let prime = BigUint::from_bytes_be(prime);
        (prime > BigUint::from(1_u8)).then(|| (BigUint::from_bytes_be(&d) % (prime - 1_u8)).to_bytes_be())
    };
    let components = rsa::KeyPairComponents {
        public_key: rsa::PublicKeyComponents { n: number(&public.n)?, e: number(&public.e)? },
        dP: exponent(&p)?,
        dQ: exponent(&q)?,
        qInv: number(&private.iqmp)?,
        d: d.clone(),
        p,
        q,
    };
    RsaKeyPair::from_components(&components).ok()
}

/// What is between the first and the last line.
fn body(pem: &str) -> Option<Vec<u8>> {
    let inner: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(inner).ok()
}

/// Bytes with their number before them, as SSH has it.
pub(super) fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// A positive number: without zeros before it, and never with its highest bit set.
fn mpint(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    match &bytes[start..] {
        number @ [0x80..=0xff, ..] => string(&[&[0], number].concat()),
        number => string(number),
    }
}
