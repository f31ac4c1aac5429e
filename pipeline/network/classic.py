"""The U-Net of the article "UNet - Line by Line Explanation", in plain Keras.

Jeremy Zhang, Towards Data Science, 2019, https://towardsdatascience.com/unet-line-by-line-explanation-9b191c76baf5. The
variables are named as in the Kaggle kernels of the TGS competition, for example
https://www.kaggle.com/code/phoenigs/u-net-dropout-augmentation-stratification. Given the same weights, it computes what
``unet.build_unet`` builds for the experiment ``article``, with one difference: ``build_unet`` returns logits, and this
network applies the sigmoid itself, as the article does, and returns probabilities. A test compares the two; besides it,
only the notebook ``unet_line_by_line.ipynb`` uses this module.
"""

from keras import Input, Model
from keras.layers import Conv2D, Conv2DTranspose, Dropout, MaxPooling2D, Rescaling, concatenate


def build_classic_unet(size: int = 128, start_neurons: int = 64) -> Model:
    """(batch, size, size, 1) float32 grey values in 0..255 -> (batch, size, size, 1) float32 probabilities of salt.

    Args:
        size: side of the input in pixels, a multiple of 16.
        start_neurons: channels of the first level; each further level has twice as many.

    Raises:
        ValueError: the size is not a multiple of 16.
    """
    input_layer = Input((size, size, 1))
    scaled = Rescaling(1 / 255)(input_layer)

    # Contracting path: 128 -> 64 -> 32 -> 16 -> 8 pixels a side
    conv1 = Conv2D(start_neurons * 1, (3, 3), activation="relu", padding="same")(scaled)
    conv1 = Conv2D(start_neurons * 1, (3, 3), activation="relu", padding="same")(conv1)
    pool1 = MaxPooling2D((2, 2))(conv1)
    pool1 = Dropout(0.25)(pool1)

    conv2 = Conv2D(start_neurons * 2, (3, 3), activation="relu", padding="same")(pool1)
    conv2 = Conv2D(start_neurons * 2, (3, 3), activation="relu", padding="same")(conv2)
    pool2 = MaxPooling2D((2, 2))(conv2)
    pool2 = Dropout(0.5)(pool2)

    conv3 = Conv2D(start_neurons * 4, (3, 3), activation="relu", padding="same")(pool2)
    conv3 = Conv2D(start_neurons * 4, (3, 3), activation="relu", padding="same")(conv3)
    pool3 = MaxPooling2D((2, 2))(conv3)
    pool3 = Dropout(0.5)(pool3)

    conv4 = Conv2D(start_neurons * 8, (3, 3), activation="relu", padding="same")(pool3)
    conv4 = Conv2D(start_neurons * 8, (3, 3), activation="relu", padding="same")(conv4)
    pool4 = MaxPooling2D((2, 2))(conv4)
    pool4 = Dropout(0.5)(pool4)

    # Bottom
    convm = Conv2D(start_neurons * 16, (3, 3), activation="relu", padding="same")(pool4)
    convm = Conv2D(start_neurons * 16, (3, 3), activation="relu", padding="same")(convm)

    # Expansive path: 8 -> 16 -> 32 -> 64 -> 128 pixels a side
    deconv4 = Conv2DTranspose(start_neurons * 8, (2, 2), strides=(2, 2), padding="same")(convm)
    uconv4 = concatenate([deconv4, conv4])
    uconv4 = Dropout(0.5)(uconv4)
    uconv4 = Conv2D(start_neurons * 8, (3, 3), activation="relu", padding="same")(uconv4)
    uconv4 = Conv2D(start_neurons * 8, (3, 3), activation="relu", padding="same")(uconv4)

    deconv3 = Conv2DTranspose(start_neurons * 4, (2, 2), strides=(2, 2), padding="same")(uconv4)
    uconv3 = concatenate([deconv3, conv3])
    uconv3 = Dropout(0.5)(uconv3)
    uconv3 = Conv2D(start_neurons * 4, (3, 3), activation="relu", padding="same")(uconv3)
    uconv3 = Conv2D(start_neurons * 4, (3, 3), activation="relu", padding="same")(uconv3)

    deconv2 = Conv2DTranspose(start_neurons * 2, (2, 2), strides=(2, 2), padding="same")(uconv3)
    uconv2 = concatenate([deconv2, conv2])
    uconv2 = Dropout(0.5)(uconv2)
    uconv2 = Conv2D(start_neurons * 2, (3, 3), activation="relu", padding="same")(uconv2)
    uconv2 = Conv2D(start_neurons * 2, (3, 3), activation="relu", padding="same")(uconv2)

    deconv1 = Conv2DTranspose(start_neurons * 1, (2, 2), strides=(2, 2), padding="same")(uconv2)
    uconv1 = concatenate([deconv1, conv1])
    uconv1 = Dropout(0.5)(uconv1)
    uconv1 = Conv2D(start_neurons * 1, (3, 3), activation="relu", padding="same")(uconv1)
    uconv1 = Conv2D(start_neurons * 1, (3, 3), activation="relu", padding="same")(uconv1)

    # One probability for each pixel
    output_layer = Conv2D(1, (1, 1), activation="sigmoid")(uconv1)
    return Model(input_layer, output_layer)
