//! Decryption of password hashes: the layer of the session (MS-DRSR 4.1.10.2.20, RC4 under MD5 of
//! session key and salt, with a checksum) and that of the account (MS-SAMR 2.2.11.1.1, DES under the
//! relative identifier).
//!
//! Invariant: the checksum is looked at before anything else, so a wrong key gives no hash at all;
//! every intermediate value is wiped. Deliberately absent: other secrets (histories, Kerberos keys),
//! and encryption.

use des::Des;
use des::cipher::{BlockCipherDecrypt, KeyInit};
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::object::{NtHash, Undecryptable};

const SALT_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;
const HASH_BYTES: usize = 16;

/// The hash inside a value of `unicodePwd` of the account with this relative identifier.
pub(super) fn decrypt(
    session_key: &[u8],
    rid: Option<u32>,
    value: &[u8],
) -> Result<NtHash, Undecryptable> {
    if value.len() != SALT_BYTES + CHECKSUM_BYTES + HASH_BYTES {
        return Err(Undecryptable::Form);
    }
    let (salt, encrypted) = value
        .split_at_checked(SALT_BYTES)
        .ok_or(Undecryptable::Form)?;
    let digest = Md5::new().chain_update(session_key).chain_update(salt);
    let key = Zeroizing::new(<[u8; 16]>::from(digest.finalize()));
    let mut plain = Zeroizing::new(encrypted.to_vec());
    rc4(&key, &mut plain);
    let (checksum, hash) = plain
        .split_first_chunk::<CHECKSUM_BYTES>()
        .ok_or(Undecryptable::Form)?;
    if u32::from_le_bytes(*checksum) != crc32fast::hash(hash) {
        return Err(Undecryptable::Checksum);
    }
    let (halves, _) = hash.as_chunks::<8>();
    let [first, second] = halves else {
        return Err(Undecryptable::Form);
    };
    let rid = rid.ok_or(Undecryptable::NoIdentifier)?;
    let [first_key, second_key] = rid_keys(rid);
    let mut out = Zeroizing::new([0; HASH_BYTES]);
    let (start, end) = out.split_at_mut(8);
    start.copy_from_slice(&*des(&first_key, first));
    end.copy_from_slice(&*des(&second_key, second));
    Ok(NtHash::new(*out))
}

/// RC4, which the protocol prescribes.
fn rc4(key: &[u8; 16], data: &mut [u8]) {
    let mut state: Zeroizing<[u8; 256]> = Zeroizing::new(std::array::from_fn(|index| {
        u8::try_from(index).unwrap_or_default()
    }));
    let at = |state: &[u8; 256], index: u8| state.get(usize::from(index)).copied().unwrap_or(0);
    let mut other = 0u8;
    for (index, byte) in (0..=255u8).zip(key.iter().cycle()) {
        other = other.wrapping_add(at(&state, index)).wrapping_add(*byte);
        state.swap(usize::from(index), usize::from(other));
    }
    let (mut index, mut other) = (0u8, 0u8);
    for byte in data {
        index = index.wrapping_add(1);
        other = other.wrapping_add(at(&state, index));
        state.swap(usize::from(index), usize::from(other));
        let place = at(&state, index).wrapping_add(at(&state, other));
        *byte ^= at(&state, place);
    }
}

/// The two keys of seven bytes that come from the relative identifier (MS-SAMR 2.2.11.1.3).
fn rid_keys(rid: u32) -> [[u8; 7]; 2] {
    let [a, b, c, d] = rid.to_le_bytes();
    [[a, b, c, d, a, b, c], [d, a, b, c, d, a, b]]
}

fn des(key: &[u8; 7], block: &[u8; 8]) -> Zeroizing<[u8; 8]> {
    let key = Zeroizing::new(expand(*key));
    let mut block = (*block).into();
    Des::new(&(*key).into()).decrypt_block(&mut block);
    Zeroizing::new(block.into())
}

/// 56 bits, seven to a byte; DES ignores the lowest bit of each (MS-SAMR 2.2.11.1.2).
fn expand(key: [u8; 7]) -> [u8; 8] {
    let [a, b, c, d, e, f, g] = key.map(u64::from);
    let bits = [a, b, c, d, e, f, g]
        .iter()
        .fold(0, |bits, byte| bits << 8 | byte);
    std::array::from_fn(|index| {
        let seven = bits >> (49 - 7 * index) & 0x7f;
        u8::try_from(seven << 1).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use des::cipher::BlockCipherEncrypt;

    /// What a domain controller does.
    pub(super) fn encrypt(session_key: &[u8], rid: u32, hash: [u8; 16]) -> Vec<u8> {
        let mut inner = Vec::new();
        for (key, half) in rid_keys(rid).iter().zip(hash.as_chunks::<8>().0) {
            let mut block = (*half).into();
            Des::new(&expand(*key).into()).encrypt_block(&mut block);
            inner.extend_from_slice(&<[u8; 8]>::from(block));
        }
        let salt = [7; SALT_BYTES];
        let key = Md5::new().chain_update(session_key).chain_update(salt);
        let mut data = crc32fast::hash(&inner).to_le_bytes().to_vec();
        data.extend(inner);
        rc4(&key.finalize().into(), &mut data);
        [salt.to_vec(), data].concat()
    }

    #[test]
    fn rc4_is_that_of_the_test_vectors() {
        // RFC 6229, 128-bit key, offset 0.
        let key = std::array::from_fn(|index| index as u8 + 1);
        let mut stream = [0; 16];
        rc4(&key, &mut stream);
        let wanted = crate::guid::bytes_of_hex("9ac7cc9a609d1ef7b2932899cde41b97").unwrap();
        assert_eq!(stream.as_slice(), wanted);
    }

    #[test]
    fn keys_are_expanded_seven_bits_a_byte() {
        assert_eq!(expand([0xff; 7]), [0xfe; 8]);
        assert_eq!(expand([0x80, 0, 0, 0, 0, 0, 1])[0], 0x80);
        assert_eq!(expand([0x80, 0, 0, 0, 0, 0, 1])[7], 2);
        assert_eq!(
            rid_keys(0x0403_0201),
            [[1, 2, 3, 4, 1, 2, 3], [4, 1, 2, 3, 4, 1, 2]]
        );
    }

    #[test]
    fn a_hash_comes_out_and_no_wrong_one_does() {
        let hash = std::array::from_fn(|index| index as u8);
        let value = encrypt(b"session", 1104, hash);
        let found = decrypt(b"session", Some(1104), &value).unwrap();
        assert_eq!(*found.expose(), hash);
        let refused = |key: &[u8], rid, value: &[u8]| decrypt(key, rid, value).err();
        assert_eq!(
            refused(b"other", Some(1104), &value),
            Some(Undecryptable::Checksum)
        );
        assert_eq!(
            refused(b"session", None, &value),
            Some(Undecryptable::NoIdentifier)
        );
        assert_eq!(
            refused(b"session", Some(1104), &value[1..]),
            Some(Undecryptable::Form)
        );
        assert_eq!(
            refused(b"session", Some(1104), &[]),
            Some(Undecryptable::Form)
        );
        for place in 0..value.len() {
            let mut damaged = value.clone();
            damaged[place] ^= 0x10;
            assert_eq!(
                refused(b"session", Some(1104), &damaged),
                Some(Undecryptable::Checksum)
            );
        }
    }
}
