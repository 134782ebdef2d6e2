//! Ed25519, RFC 8032: the only file that names the library.
//!
//! Checking is strict: keys and signatures that only a forger makes (points of small order, numbers above the group's
//! order) are refused, so that one signature stands for one key and one text.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// The length of a signature, in bytes.
pub(super) const SIGNATURE: usize = 64;

/// A private key. Overwritten with zeros when it is dropped; its text form for debugging shows nothing of it.
#[derive(Clone)]
pub(super) struct Private(SigningKey);

impl Private {
    pub(super) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    pub(super) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    pub(super) fn public(&self) -> Public {
        Public(self.0.verifying_key())
    }

    pub(super) fn sign(&self, text: &[u8]) -> [u8; SIGNATURE] {
        self.0.sign(text).to_bytes()
    }
}

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Public(VerifyingKey);

impl Public {
    /// `None` if the bytes are no point of the curve, or one for which anybody can make signatures.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(super) fn verifies(&self, text: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        self.0.verify_strict(text, &Signature::from_bytes(signature)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        let bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        bytes.try_into().unwrap()
    }

    #[test]
    fn keys_and_signatures_are_those_of_the_rfc() {
        // RFC 8032, section 7.1, tests 1 to 3.
        for (seed, public, text, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                [].as_slice(),
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                &[0x72],
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                &[0xaf, 0x82],
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let private = Private::from_seed(&bytes(seed));
            assert_eq!(private.public().as_bytes(), &bytes(public));
            assert_eq!(private.sign(text), bytes(signature));
            assert!(private.public().verifies(text, &bytes(signature)));
            assert_eq!(*private.seed(), bytes(seed));
        }
    }

    #[test]
    fn keys_for_which_anybody_can_sign_are_refused() {
        // The points of order 1, 2, 4, 4, 8, 8, 8 and 8.
        for point in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        ] {
            assert!(Public::from_bytes(&bytes(point)).is_none(), "{point}");
        }
    }

    #[test]
    fn bytes_that_are_no_point_are_refused() {
        let mut bytes = [0; 32];
        bytes[0] = 2; // no point of the curve has this y
        assert!(Public::from_bytes(&bytes).is_none());
    }

    #[test]
    fn a_second_signature_made_from_the_first_is_refused() {
        let private = Private::from_seed(&[7; 32]);
        let mut signature = private.sign(b"text");
        assert!(private.public().verifies(b"text", &signature));
        // The group's order, added to the number in the second half: the same number to a careless verifier.
        let order: [u8; 32] =
            bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut carry = 0;
        for (digit, more) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*digit) + u16::from(more) + carry;
            [*digit, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }
        assert!(!private.public().verifies(b"text", &signature));
    }
}
