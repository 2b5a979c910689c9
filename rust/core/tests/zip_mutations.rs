//! Sound archives with every field of every record set to numbers that readers stumble over, alone and in pairs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;

use archive::fields::{Field, RECORDS, interesting};
use archive::{Archive, Member, noise, open, read};
use pixcrawler_core::zip::Directory;

/// One field of one record in a file.
#[derive(Clone, Copy, Debug)]
struct Place {
    record: &'static str,
    at: usize,
    field: Field,
}

/// A file, its members' bytes, and all its fields.
struct Base {
    name: &'static str,
    bytes: Vec<u8>,
    data: Vec<Vec<u8>>,
    places: Vec<Place>,
    locals: Vec<usize>,
    centrals: Vec<usize>,
}

impl Base {
    fn new(name: &'static str, members: &[Member], zip64: bool, comment: &[u8]) -> Self {
        let archive = Archive::with(members, zip64, comment);
        let mut places = Vec::new();
        for record in RECORDS {
            let found = archive.bytes.windows(4).enumerate().filter(|(_, four)| *four == record.signature);
            for (at, _) in found {
                places.extend(record.fields.iter().map(|&field| Place { record: record.name, at, field }));
            }
        }
        let data = members.iter().map(|member| member.data.clone()).collect();
        Self { name, data, places, locals: archive.locals, centrals: archive.centrals, bytes: archive.bytes }
    }

    /// Every place with the numbers to put there, none of which stands there already.
    fn changes(&self) -> Vec<(Place, u64)> {
        let size = self.bytes.len() as u64;
        let value = |place: &Place| place.field.get(&self.bytes, place.at).unwrap();
        let others: Vec<u64> = self.places.iter().map(value).collect();
        let mut changes = Vec::new();
        for place in &self.places {
            let values = interesting(place.field.bytes, size, &others);
            changes.extend(values.into_iter().filter(|number| *number != value(place)).map(|number| (*place, number)));
        }
        changes
    }

    /// The member whose record a place belongs to; none for the archive's own records.
    fn member(&self, place: &Place) -> Option<usize> {
        match place.record {
            "central" => self.centrals.iter().position(|&at| at == place.at),
            "local" | "descriptor" => self.locals.iter().rposition(|&at| at <= place.at),
            _ => None,
        }
    }

    /// The number in the field of this name of the record at a position.
    fn number(&self, at: usize, name: &str) -> Option<u64> {
        self.places.iter().find(|place| place.at == at && place.field.name == name)?.field.get(&self.bytes, at)
    }

    /// Whether another number in a field is another way to write what the archive says already.
    fn says_the_same(&self, place: &Place, number: u64) -> bool {
        let name = place.field.name;
        if let Some(member) = self.member(place) {
            let central = self.centrals[member];
            let is_size = matches!(name, "packed" | "size");
            // APPNOTE 4.4.4, bit 3: zero here and the truth in the descriptor, or the truth in both.
            let is_deferred = place.record == "local" && self.number(central, "flags") == Some(8);
            let is_truth = is_deferred && (is_size || name == "crc") && self.number(central, name) == Some(number);
            // APPNOTE 4.5.3: the largest value says that the truth is in the zip64 extra field.
            let is_wide = self.number(central, "extra length") == Some(28);
            return is_truth || is_wide && number == u32::MAX.into() && (is_size || name == "offset");
        }
        // Some writers count no disk where there is one.
        if (place.record, name, number) == ("locator64", "disks", 0) {
            return true;
        }
        // APPNOTE 4.4.1.4: with a zip64 end record the other one holds the truth or the largest value.
        let end64 = self.places.iter().find(|place| place.record == "end64");
        end64.is_some_and(|end64| {
            let most = u64::MAX >> (64 - 8 * place.field.bytes);
            let is_number = place.record == "end" && name != "signature";
            is_number && self.number(end64.at, name).is_some_and(|truth| number == truth || number == most)
        })
    }

    /// Which members a file delivers; each must be what it was.
    fn delivered(&self, bytes: &[u8], change: &dyn Fn() -> String) -> Vec<usize> {
        let Ok(directory) = open(bytes) else { return Vec::new() };
        (0..directory.len()).filter(|&index| self.delivers(&directory, index, bytes, change)).collect()
    }

    fn delivers(&self, directory: &Directory, index: usize, bytes: &[u8], change: &dyn Fn() -> String) -> bool {
        let Ok(found) = read(directory, index, bytes) else { return false };
        assert_eq!(Some(&found), self.data.get(index), "{}, {}: other bytes for member {index}", self.name, change());
        true
    }
}

fn bases() -> Vec<Base> {
    let small = Member::stored("a/1.jpg", &noise(1, 70));
    let packed = Member::deflated("b/2.png", &b"a cat and a dog ".repeat(9));
    let described = packed.clone().described(true, false);
    let last = Member::stored("c", b"third");
    let wide = {
        // Sizes and offset in a zip64 extra field.
        let size = (packed.data.len() as u64).to_le_bytes();
        let packed_size = (packed.packed.len() as u64).to_le_bytes();
        let local = [&[1, 0, 16, 0], &size[..], &packed_size[..]].concat();
        let central = [&[1, 0, 24, 0], &size[..], &packed_size[..], &[0; 8]].concat();
        Member { local_extra: local, central_extra: central, ..packed.clone() }
    };
    vec![
        Base::new("plain", &[small.clone(), packed], false, b"comment"),
        Base::new("descriptors", &[described, last.clone()], false, b""),
        Base::new("zip64", &[wide, small, last], true, b""),
    ]
}

/// Fields that no reader needs to read a member rightly, so that any number in them is tolerated.
fn is_tolerated(place: &Place) -> bool {
    matches!(place.field.name, "needed" | "time" | "date" | "made by" | "internal" | "external")
}

#[test]
fn u03_every_field_alone() {
    for base in bases() {
        let all: Vec<usize> = (0..base.data.len()).collect();
        assert_eq!(base.delivered(&base.bytes, &|| "unchanged".into()), all);
        let mut tolerated = 0;
        for (place, number) in base.changes() {
            let mut bytes = base.bytes.clone();
            place.field.set(&mut bytes, place.at, number);
            let change = || format!("{place:?} set to {number:#x}");
            let delivered = base.delivered(&bytes, &change);
            if is_tolerated(&place) {
                tolerated += usize::from(delivered == all);
                continue;
            }
            let Some(member) = base.member(&place) else {
                let is_same = base.says_the_same(&place, number);
                assert_eq!(!delivered.is_empty(), is_same, "{}, {}", base.name, change());
                continue;
            };
            let is_same = base.says_the_same(&place, number);
            assert_eq!(delivered.contains(&member), is_same, "{}, {}: member {member}", base.name, change());
        }
        assert!(tolerated > 50, "{}: {tolerated}", base.name);
    }
}

#[test]
fn u03_every_pair_of_fields() {
    let mut pairs = 0;
    for base in bases() {
        // Of what nobody reads, one number stands for all.
        let mut changes = base.changes();
        changes.retain(|(place, number)| !is_tolerated(place) || *number == 1);
        let mut bytes = base.bytes.clone();
        for (first, (one, number)) in changes.iter().enumerate() {
            let original = one.field.get(&base.bytes, one.at).unwrap();
            one.field.set(&mut bytes, one.at, *number);
            for (two, other) in &changes[first + 1..] {
                if (one.at, one.field.offset) == (two.at, two.field.offset) {
                    continue;
                }
                let before = two.field.get(&bytes, two.at).unwrap();
                two.field.set(&mut bytes, two.at, *other);
                let change = || format!("{one:?} set to {number:#x}, {two:?} set to {other:#x}");
                base.delivered(&bytes, &change);
                two.field.set(&mut bytes, two.at, before);
                pairs += 1;
            }
            one.field.set(&mut bytes, one.at, original);
        }
        assert_eq!(bytes, base.bytes);
    }
    assert!(pairs > 1_000_000, "{pairs}");
}
