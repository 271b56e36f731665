"""Where data, models and gradops meet: from raw bytes to a registered model."""
