"""Running the model: experiments, their figures and their reports."""
