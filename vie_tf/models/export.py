"""Exports the trained network as a SavedModel that needs only TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from vie_tf.keras2 import keras


def export(network: keras.Model, out: str) -> None:
    """Writes a SavedModel of the network in inference mode.

    Its `serving_default` takes `clip` uint8 [B, T, H, W, 3] and returns `embedding` float32
    [B, D] of unit norm and the taps `encode_1`, ..., by name.

    Args:
        network: built for any image size and in float32.
        out: folder to write.
    """
    clip = network.inputs[0]
    signature = tf.TensorSpec(clip.shape, tf.uint8, name="clip")

    @tf.function(input_signature=[signature])
    def serve(clip):
        outputs = network(clip, training=False)
        return {name: tf.cast(value, tf.float32) for name, value in outputs.items()}

    module = tf.Module()
    # The weights, not the Keras model: its objects would need vie_tf's classes when loaded.
    module.serve, module.weights = serve, network.weights
    tf.saved_model.save(module, out, signatures=serve)
