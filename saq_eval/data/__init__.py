"""Images: data sets by name, the sample that a comparison looks at, masks, and what stands in for hidden pixels."""
