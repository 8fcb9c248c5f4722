"""What training a quantizer needs: the bottleneck with its straight-through gradient, and the losses."""
