"""Partitions are where Kafka's Java clients put a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk_schemas.partitioning import murmur2, partition_of

# From Kafka's own UtilsTest.testMurmur2 (org.apache.kafka.common.utils); Java's ints are signed.
KAFKAS_OWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), KAFKAS_OWN.items())
def test_murmur2_gives_kafkas_own_results(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


@pytest.mark.parametrize(("key", "signed"), KAFKAS_OWN.items())
@pytest.mark.parametrize("n_partitions", [1, 4, 12, 1000])
def test_partition_is_kafkas_positive_hash_modulo_the_count(
    key: bytes, signed: int, n_partitions: int
) -> None:
    assert partition_of(key, n_partitions) == (signed & 0x7FFFFFFF) % n_partitions


@given(st.binary(max_size=64), st.integers(1, 10_000))
def test_every_key_has_a_partition(key: bytes, n_partitions: int) -> None:
    assert 0 <= partition_of(key, n_partitions) < n_partitions
