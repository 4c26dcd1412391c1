"""Instance Recognition (IR): each video is a class of its own (paper section 3, eq. 2 and 3).

Two estimates of the same loss. `nce_loss` is what the paper's runs used: noise contrastive
estimation with a constant partition function, whose cost does not grow with the number of videos.
`softmax_loss` is eq. 3 itself with the whole bank as Q: exact, and the one that works for the tens
to thousands of videos where the constant is wrong.
"""

from __future__ import annotations

import tensorflow as tf

# Z of eq. 2 for each row of the bank: the value that Wu et al. (2018) estimated on ImageNet.
PARTITION_PER_ROW = 2876934.2 / 1281167
EPSILON = 1e-7


def probability(similarities: tf.Tensor, partition: float, temperature: float) -> tf.Tensor:
    """Eq. 2: P(j|e) = exp(e.M[j] / temperature) / Z, with a constant for its partition function Z.

    Args:
        similarities: float32 of any shape, inner products e.M[j] of embeddings and bank rows.
        partition: Z.
        temperature: tau.

    Returns:
        float32 of the same shape.
    """
    return tf.exp(similarities / temperature) / partition


def nce_loss(
    own: tf.Tensor, noise: tf.Tensor, bank_size: int, temperature: float = 0.07
) -> dict[str, tf.Tensor]:
    """Noise contrastive estimate of eq. 3.

    With P of eq. 2, Z = 2.2456 N, and K noise rows drawn uniformly from the N rows, an item's loss
    is -ln[P(i) / (P(i) + K/N)] - sum ln[(K/N) / (P(j) + K/N)].

    Args:
        own: float32 [B], inner product of each embedding with its own row of the bank.
        noise: float32 [B, K], inner products with K rows drawn at random.
        bank_size: N, the number of rows.
        temperature: tau of eq. 2.

    Returns:
        float32 [B] each: `loss`, and its halves `data` and `noise`.
    """
    partition = PARTITION_PER_ROW * bank_size
    expected = noise.shape[1] / bank_size  # K times the noise distribution 1/N
    p_own = probability(own, partition, temperature)
    p_noise = probability(noise, partition, temperature)
    data = -tf.math.log(p_own / (p_own + expected + EPSILON))
    rest = -tf.reduce_sum(tf.math.log(expected / (p_noise + expected + EPSILON)), axis=1)
    return {"loss": data + rest, "data": data, "noise": rest}


def softmax_loss(similarities: tf.Tensor, index: tf.Tensor, temperature: float = 0.07) -> tf.Tensor:
    """Eq. 3 with the whole bank: -ln softmax(similarities / temperature)[index].

    Args:
        similarities: float32 [B, N], inner products of the embeddings with every row.
        index: int64 [B], each item's own row.
        temperature: tau of eq. 2.

    Returns:
        float32 [B], the loss of each item.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(index, similarities / temperature)
