//! Opening the sealed messages of a Kerberos acceptor (RFC 4121 4.2.4, MS-KILE 3.4.5.4.1).
//!
//! Invariant: a message is handed out only when it was sealed (not merely signed) by the acceptor,
//! everything around it that is signed is unchanged, and its number follows that of the message
//! before; the number is the one inside the sealed part. Ours, because the library we seal with
//! takes the number outside for granted, accepts messages that are not sealed and panics at short
//! ones. Deliberately absent: sealing, other rotations than the one Active Directory and Samba use.

use picky_krb::crypto::CipherSuite;
use rollcall_kit::secret::SecretBytes;
use zeroize::Zeroizing;

use super::error::SecurityError;

/// Token of a message on which nothing extra is sealed (LDAP): header, checksum, inner header, confounder.
pub(crate) const TOKEN_BYTES: usize = HEADER_BYTES + ROTATION + CONFOUNDER_BYTES;
/// Extra count of RPC, MS-KILE 3.4.5.4.1.
pub(crate) const EXTRA_RPC: u16 = 16;

const HEADER_BYTES: usize = 16;
const CONFOUNDER_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 12;
/// Inner header and checksum are moved in front of the rest.
const ROTATION: usize = HEADER_BYTES + CHECKSUM_BYTES;
const TOKEN_ID: [u8; 2] = [5, 4];
const FROM_ACCEPTOR: u8 = 1;
const SEALED: u8 = 2;
const ACCEPTOR_SUBKEY: u8 = 4;
const FILLER: u8 = 0xff;
/// KG-USAGE-ACCEPTOR-SEAL, RFC 4121 2.
const USAGE: i32 = 22;
/// The only kind of key that the exchange of tokens agrees on.
const KEY_BYTES: usize = 32;

/// Opens the messages of one connection, in their order.
pub(crate) struct Opener {
    key: SecretBytes,
    /// Bytes of filler in each message.
    extra: u16,
    /// The number of the last message.
    last: Option<u64>,
}

/// The sixteen bytes in front, in the clear.
#[derive(Clone, Copy)]
struct Header {
    bytes: [u8; HEADER_BYTES],
}

impl Header {
    fn parse(token: &[u8], extra: u16) -> Result<Self, &'static str> {
        let bytes = *token.first_chunk().ok_or("it is too short")?;
        let header = Self { bytes };
        let [
            id0,
            id1,
            flags,
            filler,
            extra0,
            extra1,
            rotation0,
            rotation1,
            ..,
        ] = bytes;
        if [id0, id1] != TOKEN_ID || filler != FILLER {
            return Err("it is no wrap token");
        }
        if flags & SEALED == 0 {
            return Err("it is not sealed");
        }
        if flags & FROM_ACCEPTOR == 0 {
            return Err("it is one of our own");
        }
        if flags & ACCEPTOR_SUBKEY == 0 {
            return Err("it is sealed with another key");
        }
        if u16::from_be_bytes([extra0, extra1]) != extra {
            return Err("it has an unexpected extra count");
        }
        if usize::from(u16::from_be_bytes([rotation0, rotation1])) != ROTATION {
            return Err("it has an unexpected rotation");
        }
        Ok(header)
    }

    fn number(&self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.bytes;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// As it was when it was sealed: not rotated yet.
    fn unrotated(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = self.bytes;
        if let Some(rotation) = bytes.get_mut(6..8) {
            rotation.fill(0);
        }
        bytes
    }
}

impl Opener {
    /// `key` is the session key both sides agreed on.
    pub(crate) fn new(key: SecretBytes, extra: u16) -> Result<Self, SecurityError> {
        if key.expose().len() != KEY_BYTES {
            return Err(SecurityError::Exchange {
                during: "signing in by Kerberos",
                why: "the agreed key is not one of AES256".to_owned(),
            });
        }
        Ok(Self {
            key,
            extra,
            last: None,
        })
    }

    /// Opens a packet in place: `head`, `body` and `trailer` are signed, `body` is sealed too.
    pub(crate) fn open_packet(
        &mut self,
        head: &[u8],
        body: &mut [u8],
        trailer: &[u8],
        token: &[u8],
    ) -> Result<(), SecurityError> {
        if token.len() != TOKEN_BYTES + usize::from(self.extra) {
            return Err(SecurityError::Forged("its token has a wrong length"));
        }
        let plain = self.open(head, body, trailer, token)?;
        if plain.len() != body.len() {
            return Err(SecurityError::Forged("its content has a wrong length"));
        }
        body.copy_from_slice(&plain);
        Ok(())
    }

    /// Opens a SASL buffer: token and sealed content in one.
    pub(crate) fn open_buffer(
        &mut self,
        buffer: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SecurityError> {
        self.open(&[], &[], &[], buffer)
    }

    fn open(
        &mut self,
        head: &[u8],
        body: &[u8],
        trailer: &[u8],
        token: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SecurityError> {
        let header = Header::parse(token, self.extra).map_err(SecurityError::Forged)?;
        let opened = self.decrypt(&header, [head, body, trailer], token);
        let plain = opened.map_err(SecurityError::Forged)?;
        if !self.follows(header.number()) {
            return Err(SecurityError::Forged(
                "its number does not follow that of the message before",
            ));
        }
        self.last = Some(header.number());
        Ok(plain)
    }

    /// Only the acceptor knows with which number it begins; some count on with 32 bits.
    fn follows(&self, number: u64) -> bool {
        let Some(last) = self.last else {
            return true;
        };
        last.checked_add(1) == Some(number) || (last == u64::from(u32::MAX) && number == 0)
    }

    fn decrypt(
        &self,
        header: &Header,
        [head, body, trailer]: [&[u8]; 3],
        token: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let extra = usize::from(self.extra);
        let mut sealed = token.get(HEADER_BYTES..).unwrap_or_default().to_vec();
        sealed.extend_from_slice(body);
        if sealed.len() < CONFOUNDER_BYTES + extra + ROTATION {
            return Err("it is too short");
        }
        sealed.rotate_left(ROTATION + extra);
        let cipher = CipherSuite::Aes256CtsHmacSha196.cipher();
        let key = self.key.expose();
        let opened = cipher
            .decrypt_no_checksum(key, USAGE, &sealed)
            .map_err(|_| "it cannot be decrypted")?;
        let mut plain = Zeroizing::new(opened.plaintext);
        let content = plain
            .len()
            .checked_sub(extra + HEADER_BYTES)
            .ok_or("it is too short")?;
        let end = plain.get(content..).unwrap_or_default();
        if !end.ends_with(&header.unrotated()) {
            return Err("its header was changed");
        }

        let mut signed = Zeroizing::new(opened.confounder);
        signed.extend_from_slice(head);
        signed.extend_from_slice(plain.get(..content).unwrap_or_default());
        signed.extend_from_slice(trailer);
        signed.extend_from_slice(end);
        let expected = cipher
            .encryption_checksum(key, USAGE, &signed)
            .map_err(|_| "its checksum cannot be computed")?;
        // In constant time, as all comparisons of secrets.
        if SecretBytes::new(expected) != SecretBytes::new(opened.checksum) {
            return Err("its checksum is wrong");
        }
        plain.truncate(content);
        Ok(plain)
    }
}

/// Tokens of both uses, for fuzzing.
pub(crate) fn fuzz(bytes: &[u8]) {
    let (body, token) = bytes.split_at(bytes.len() / 2);
    for extra in [0, EXTRA_RPC] {
        if let Ok(mut opener) = Opener::new(SecretBytes::new(vec![7; KEY_BYTES]), extra) {
            opener.open_buffer(bytes).ok();
            opener.open(&[], body, &[], token).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

    fn opener(extra: u16) -> Opener {
        Opener::new(SecretBytes::new(KEY.to_vec()), extra).unwrap()
    }

    /// What an acceptor sends: the token with the content sealed behind it.
    fn seal(number: u64, extra: u16, [head, content, trailer]: [&[u8]; 3]) -> Vec<u8> {
        let mut header = vec![5, 4, 7, 0xff];
        header.extend(extra.to_be_bytes());
        header.extend([0, 0]);
        header.extend(number.to_be_bytes());
        let filler = vec![0; usize::from(extra)];
        let cipher = CipherSuite::Aes256CtsHmacSha196.cipher();
        let payload = [content, &filler, &header].concat();
        let sealed = cipher.encrypt_no_checksum(&KEY, USAGE, &payload).unwrap();
        let signed = [&sealed.confounder, head, content, trailer, &filler, &header].concat();
        let mut rest = sealed.encrypted;
        rest.extend(cipher.encryption_checksum(&KEY, USAGE, &signed).unwrap());
        rest.rotate_right(ROTATION + usize::from(extra));
        header[7] = u8::try_from(ROTATION).unwrap();
        header.extend(rest);
        header
    }

    fn refused(result: Result<Zeroizing<Vec<u8>>, SecurityError>) -> &'static str {
        match result {
            Err(SecurityError::Forged(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn buffers_are_opened_in_their_order_only() {
        let message = |number, text: &str| seal(number, 0, [&[], text.as_bytes(), &[]]);
        let mut opener = opener(0);
        assert_eq!(
            opener.open_buffer(&message(41, "one")).unwrap().as_slice(),
            b"one"
        );
        assert_eq!(
            opener.open_buffer(&message(42, "")).unwrap().as_slice(),
            b""
        );
        let number = "its number does not follow that of the message before";
        assert_eq!(refused(opener.open_buffer(&message(42, ""))), number);
        assert_eq!(refused(opener.open_buffer(&message(44, "four"))), number);
        assert_eq!(
            opener
                .open_buffer(&message(43, "three"))
                .unwrap()
                .as_slice(),
            b"three"
        );

        // The number outside is not what counts: an old message cannot be shown again with another.
        let mut again = message(41, "one");
        again[8..16].copy_from_slice(&44u64.to_be_bytes());
        assert_eq!(
            refused(opener.open_buffer(&again)),
            "its header was changed"
        );
    }

    #[test]
    fn numbers_go_on_after_the_last_of_32_bits() {
        for next in [0, 1 << 32] {
            let mut opener = opener(0);
            let message = |number| seal(number, 0, [&[], b"x", &[]]);
            opener.open_buffer(&message(u64::from(u32::MAX))).unwrap();
            opener.open_buffer(&message(next)).unwrap();
        }
    }

    #[test]
    fn packets_are_opened_in_place_and_all_of_them_is_signed() {
        let (head, content, trailer) = ([1u8; 24], [2u8; 48], [3u8; 8]);
        let whole = seal(9, EXTRA_RPC, [&head, &content, &trailer]);
        let (token, body) = whole.split_at(TOKEN_BYTES + usize::from(EXTRA_RPC));
        assert_eq!(token.len(), 76);

        let mut opened = body.to_vec();
        opener(EXTRA_RPC)
            .open_packet(&head, &mut opened, &trailer, token)
            .unwrap();
        assert_eq!(opened, content);

        for (part, length) in [
            (0, head.len()),
            (1, body.len()),
            (2, trailer.len()),
            (3, token.len()),
        ] {
            for at in 0..length {
                let mut parts = [
                    head.to_vec(),
                    body.to_vec(),
                    trailer.to_vec(),
                    token.to_vec(),
                ];
                parts[part][at] ^= 1;
                let [head, mut body, trailer, token] = parts;
                let result = opener(EXTRA_RPC).open_packet(&head, &mut body, &trailer, &token);
                assert!(
                    matches!(result, Err(SecurityError::Forged(_))),
                    "{part} {at}"
                );
            }
        }
    }

    #[test]
    fn forged_tokens_are_refused() {
        let whole = seal(1, 0, [&[], &[9; 64], &[]]);
        let with = |at: usize, bytes: &[u8]| {
            let mut forged = whole.clone();
            forged[at..at + bytes.len()].copy_from_slice(bytes);
            refused(opener(0).open_buffer(&forged))
        };
        assert_eq!(with(0, &[5, 3]), "it is no wrap token");
        assert_eq!(with(2, &[5]), "it is not sealed");
        assert_eq!(with(2, &[6]), "it is one of our own");
        assert_eq!(with(2, &[3]), "it is sealed with another key");
        assert_eq!(with(4, &[0xff, 0xff]), "it has an unexpected extra count");
        assert_eq!(with(6, &[0, 0]), "it has an unexpected rotation");
        assert_eq!(with(6, &[0xff, 0xff]), "it has an unexpected rotation");
        assert_eq!(with(20, &[0, 0, 0]), "its header was changed");
        for short in 0..60 {
            let cut = whole.get(..short).unwrap();
            assert_eq!(
                refused(opener(0).open_buffer(cut)),
                "it is too short",
                "{short}"
            );
        }
        let zeros = [&[5, 4, 7, 0xff, 0, 0, 0, 28][..], &[0; 72]].concat();
        refused(opener(0).open_buffer(&zeros));
        let mut body = [0; 32];
        let short = opener(EXTRA_RPC).open_packet(&[], &mut body, &[], &whole[..60]);
        assert_eq!(
            short,
            Err(SecurityError::Forged("its token has a wrong length"))
        );
    }

    #[test]
    fn other_keys_are_refused() {
        assert!(Opener::new(SecretBytes::new(vec![1; 16]), 0).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(
            mut start in prop::sample::select(vec![vec![], vec![5, 4, 7, 0xff, 0, 0, 0, 28]]),
            rest: Vec<u8>,
        ) {
            start.extend(rest);
            prop_assert!(opener(0).open_buffer(&start).is_err());
        }
    }
}
