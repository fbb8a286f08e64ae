"""Which partition a key belongs to, computed as Kafka's own Java clients do.

librdkafka's default partitioner differs, so every producer names this one.
"""

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
LIBRDKAFKA_PARTITIONER = "murmur2"


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2 of `data`, unsigned.

    Source:
        org.apache.kafka.common.utils.Utils.murmur2.
    """
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: bytes, n_partitions: int) -> int:
    """The partition of a key, 0 to `n_partitions` - 1."""
    return (murmur2(key) & 0x7FFFFFFF) % n_partitions
