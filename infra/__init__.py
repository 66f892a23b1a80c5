"""What stands in Azure and how it gets there: ``terraform/`` describes it, ``deploy/`` acts."""
