"""A Keras model, with the last fifth of the images for validation.

This is how it is commonly written. Images come in the order in which they are stored, often class by class: then some
classes are never trained, and others never validated. See keras_take_skip_fixed.py.

python keras_take_skip.py JOB
"""

import sys

import keras
import tensorflow as tf

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

dataset = load_dataset(JOB_ID, image_size=32)
images = dataset.to_tensorflow()

train_size = int(0.8 * dataset.num_images)
train = images.take(train_size).batch(32).prefetch(tf.data.AUTOTUNE)
validation = images.skip(train_size).batch(32).prefetch(tf.data.AUTOTUNE)

model = keras.Sequential(
    [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(len(dataset.classes), activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(train, validation_data=validation, epochs=3, verbose=0)

print(f"accuracy: {history.history['accuracy'][-1]:.3f}")
print(f"validation accuracy: {history.history['val_accuracy'][-1]:.3f}")
