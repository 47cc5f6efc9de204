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
    private::{KeypairData, RsaKeypair},
};

mod openssh;

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
        const KIND: &str =
            "keys of this kind cannot be lent: Ed25519, ECDSA P-256 and P-384, and RSA of 2048 to 4096 bits can";
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
            Some("OPENSSH ") => {}
            _ => return Err(NONE),
        }
        let bytes = body(text).ok_or(NONE)?;
        let file = openssh::File::read(&bytes).ok_or(NONE)?;
        if file.encrypted {
            return Err(ENCRYPTED);
        }
        let (signer, comment) = match file.kind {
            b"ecdsa-sha2-nistp256" => {
                ecdsa(&file, 32, &signature::ECDSA_P256_SHA256_FIXED_SIGNING, "ecdsa-sha2-nistp256").ok_or(NONE)?
            }
            b"ecdsa-sha2-nistp384" => {
                ecdsa(&file, 48, &signature::ECDSA_P384_SHA384_FIXED_SIGNING, "ecdsa-sha2-nistp384").ok_or(NONE)?
            }
            b"ssh-ed25519" | b"ssh-rsa" => {
                let key = PrivateKey::from_bytes(&bytes).map_err(|_| NONE)?;
                (signer(key.key_data()).ok_or(KIND)?, key.comment().to_owned())
            }
            _ => return Err(KIND),
        };
        let comment = if comment.is_empty() { name.to_owned() } else { comment };
        Ok(Self { public: file.public.to_vec(), comment, signer })
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

/// A key on a curve of that many bytes, and its comment.
fn ecdsa(
    file: &openssh::File<'_>,
    size: usize,
    algorithm: &'static signature::EcdsaSigningAlgorithm,
    name: &'static str,
) -> Option<(Signer, String)> {
    let openssh::Ecdsa { point, number, comment } = file.ecdsa(size)?;
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &number, point, &SystemRandom::new());
    Some((Signer::Ecdsa(pair.ok()?, name), String::from_utf8_lossy(comment).into_owned()))
}

fn signer(data: &KeypairData) -> Option<Signer> {
    match data {
        KeypairData::Ed25519(pair) => {
            let (seed, public) = (pair.private.to_bytes(), pair.public.0);
            Some(Signer::Ed25519(Ed25519KeyPair::from_seed_and_public_key(&seed, &public).ok()?))
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

/// Takes such bytes from the beginning.
pub(super) fn take<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = from.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *from = rest;
    Some(bytes)
}

/// A positive number: without zeros before it, and never with its highest bit set.
fn mpint(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    match &bytes[start..] {
        number @ [0x80..=0xff, ..] => string(&[&[0], number].concat()),
        number => string(number),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The key whose number is 1, as OpenSSH writes it: its point is the curve's own.
    fn smallest(curve: &str, point: &[u8]) -> String {
        let kind = format!("ecdsa-sha2-{curve}");
        let public = [kind.as_bytes(), curve.as_bytes(), point].map(string).concat();
        let private = [[7; 8].as_slice(), &public, &string(&[1]), &string(b"comment"), &[1, 2, 3]].concat();
        let names = [b"none".as_slice(), b"none", b""].map(string).concat();
        let all = [b"openssh-key-v1\0".as_slice(), &names, &[0, 0, 0, 1], &string(&public), &string(&private)].concat();
        let text = base64::engine::general_purpose::STANDARD.encode(all);
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{text}\n-----END OPENSSH PRIVATE KEY-----\n")
    }

    #[test]
    fn a_key_whose_number_is_written_short_signs_and_one_that_cannot_be_lent_is_told_as_that() {
        let hex = |text: &str| BigUint::parse_bytes(text.as_bytes(), 16).unwrap().to_bytes_be();
        // SEC 2, section 2.4.2: the generator of secp256r1.
        let point = hex("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");
        let key = Key::parse(&smallest("nistp256", &point), "file").unwrap();
        assert_eq!(key.comment, "comment");
        let signed = key.sign(b"data", 0).unwrap();
        let mut rest = signed.as_slice();
        assert_eq!(take(&mut rest).unwrap(), b"ecdsa-sha2-nistp256");
        let mut numbers = take(&mut rest).unwrap();
        let mut number = || {
            let bytes = BigUint::from_bytes_be(take(&mut numbers).unwrap()).to_bytes_be();
            [vec![0; 32 - bytes.len()], bytes].concat()
        };
        let fixed = [number(), number()].concat();
        let public = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, &point);
        public.verify(b"data", &fixed).unwrap();
        let refused = |curve: &str| Key::parse(&smallest(curve, &point), "file").unwrap_err();
        assert!(refused("nistp521").contains("of this kind"));
        assert!(refused("nistp384").contains("no private SSH key"), "a point of another curve");
    }
}
